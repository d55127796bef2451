"""The list of agents."""

import httpx
import pytest
from colotrace_coordinator.model import AgentStatus, Trouble
from colotrace_proto.locations import Location
from colotrace_proto.messages import AgentId, ColoName, Family, PacketType, Usage
from colotrace_proto.tags import Tag
from unit.coordinator.api.conftest import BEARER, LIST_ONLY, PATH
from unit.coordinator.api.fake_tracer import FakeTracer

SINCE = 1_795_893_352.123


def status(
    name: str, *, trouble: Trouble | None = None, location: Location | None = None
) -> AgentStatus:
    return AgentStatus(
        id=AgentId(name),
        colo=ColoName("den01"),
        version="0.3.0",
        families=frozenset(Family),
        packet_types=frozenset({PacketType.UDP, PacketType.ICMP}),
        tags=frozenset({Tag("rack", "7"), Tag("provider", "X")}),
        attached_since=SINCE,
        last_trouble=trouble,
        location=location,
        host="probe1",
        usage=Usage(250, 80_000_000),
    )


async def test_agents_are_listed(client: httpx.AsyncClient, tracer: FakeTracer) -> None:
    busy = Trouble(SINCE + 1, "it refused a job, since it was busy")
    tracer.attached = [status("a", trouble=busy, location=Location(1.35, 103.82)), status("b")]
    answer = await client.get(f"{PATH}/agents", headers=BEARER)
    assert answer.status_code == 200
    first, second = answer.json()["result"]
    assert first == {
        "id": "a",
        "colo": "den01",
        "version": "0.3.0",
        "families": ["ipv4", "ipv6"],
        "packet_types": ["icmp", "udp"],
        "tags": {"provider": "X", "rack": "7"},
        "attached_since": "2026-11-28T19:15:52.123Z",
        "last_trouble": "2026-11-28T19:15:53.123Z: it refused a job, since it was busy",
        "location": [1.35, 103.82],
        "host": "probe1",
        "cpu_millis": 250,
        "memory_bytes": 80_000_000,
    }
    assert second == first | {"id": "b", "last_trouble": None, "location": None}


@pytest.mark.parametrize("path", [f"{PATH}/agents/", PATH.removeprefix("/client/v4") + "/agents"])
async def test_other_forms_of_the_path(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=BEARER)
    assert answer.json() == {"success": True, "errors": [], "messages": [], "result": []}


async def test_token_that_lists_colos_only_sees_no_agents(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {LIST_ONLY}"}
    assert (await client.get(f"{PATH}/agents", headers=headers)).status_code == 403
    assert (await client.get(f"{PATH}/agents")).status_code == 400
    assert (await client.post(f"{PATH}/agents", headers=BEARER)).status_code == 405
