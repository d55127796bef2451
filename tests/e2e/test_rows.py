"""Every row has the true routers in the true order: from HTTP request over kernel routers to
answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cloudflare import AsyncCloudflare, Cloudflare
from fleet import ACCOUNT, Fleet
from fleet.judge import row_faults
from lab import CLOSED_PORT, DROP_PORT, FAMILIES, OPEN_PORT, Family, Lab

pytestmark = pytest.mark.xdist_group("fleet")

PROBES = [("icmp", 0), ("udp", 0), ("tcp", OPEN_PORT), ("tcp", CLOSED_PORT)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("packet_type", "port"), PROBES)
def test_every_colo_sees_the_true_path(
    fleet: Fleet,
    lab: Lab,
    client: Cloudflare,
    check_answer: Callable[[Any], None],
    *,
    packet_type: str,
    port: int,
    family: Family,
) -> None:
    """All colos, two targets, all probes: routers, order, ASNs, names, silence, ECMP."""
    targets = ["web", "far"]
    raw = client.diagnostics.traceroutes.with_raw_response.create(
        account_id=ACCOUNT,
        targets=[lab.address(target, family=family) for target in targets],
        options={"packet_type": packet_type, "port": port, "max_ttl": 20},  # type: ignore[typeddict-item]
    )
    body = raw.json()
    check_answer(body)
    assert body["messages"] == []
    assert [row["target"] for row in body["result"]] == [
        lab.address(target, family=family) for target in targets
    ]
    for target, row in zip(targets, body["result"], strict=True):
        names = [colo["colo"]["name"] for colo in row["colos"]]
        assert names == ["den01", "den02", "fra01", "sin01"]
        for colo in row["colos"]:
            assert row_faults(lab, colo, target=target, family=family) == []


async def test_asynchronous_sdk_and_hostname(fleet: Fleet, lab: Lab) -> None:
    """The agent resolves a name; a name with addresses of one family is traced over that family."""
    async with AsyncCloudflare(
        base_url=fleet.base_url, api_token=fleet.token, max_retries=0
    ) as client:
        pages = client.diagnostics.traceroutes.create(
            account_id=ACCOUNT,
            targets=["v4only.lab.example", "v6only.lab.example"],
            colos=["den"],
        )
        rows = [row async for row in pages]
    assert [row.target for row in rows] == ["v4only.lab.example", "v6only.lab.example"]
    for row, family in zip(rows, FAMILIES, strict=True):
        assert [colo.colo.name for colo in row.colos or [] if colo.colo] == ["den01", "den02"]
        for colo in row.colos or []:
            name = row.target.partition(".")[0] if row.target else ""
            faults = row_faults(
                lab, colo.model_dump(mode="json", exclude_unset=True), target=name, family=family
            )
            assert faults == []


def test_code_selects_all_its_colos_in_the_order_of_the_request(
    fleet: Fleet, client: Cloudflare
) -> None:
    """`sin`, then `DEN` as two colos by name; a colo that is named twice appears once."""
    (row,) = client.diagnostics.traceroutes.create(
        account_id=ACCOUNT, targets=["web.lab.example"], colos=["sin01", "DEN", "den02"]
    )
    assert [colo.colo.name for colo in row.colos or [] if colo.colo] == ["sin01", "den01", "den02"]


def test_duplicate_target_gets_two_equal_rows(fleet: Fleet) -> None:
    """The duplicate has its own row, and is traced once."""
    body = {"targets": ["web.lab.example", "web.lab.example"], "colos": ["fra01"]}
    first, second = fleet.trace(body)["result"]
    assert first == second


@pytest.mark.parametrize("family", FAMILIES)
def test_port_that_drops_everything(fleet: Fleet, lab: Lab, *, family: Family) -> None:
    """Hops up to the greatest TTL, silent from the target on; the summary counts no packets."""
    body = {
        "targets": [lab.address("web", family=family)],
        "colos": ["fra01"],
        "options": {"packet_type": "tcp", "port": DROP_PORT, "max_ttl": 8},
    }
    (row,) = fleet.trace(body)["result"][0]["colos"]
    assert [hop["packets_ttl"] for hop in row["hops"]] == list(range(1, 9))
    assert [hop["nodes"][0]["name"] for hop in row["hops"][5:]] == ["NO RESPONSE"] * 3
    summary = row["target_summary"]
    assert summary["packet_count"] == 0
    assert summary["ip"] == lab.address("web", family=family)
    assert not any(key.endswith("_ms") for key in summary)
    assert row["error"] == ""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "label"), [("unreachable", "!H"), ("prohibited", "!X")])
def test_refusing_router_ends_the_path(
    fleet: Fleet, lab: Lab, *, name: str, label: str, family: Family
) -> None:
    """The path ends at the refusing router, with the reason in its labels; the target is not
    reached."""
    body = {"targets": [lab.address(name, family=family)], "colos": ["den01"]}
    (row,) = fleet.trace(body)["result"][0]["colos"]
    truth = lab.path("den01", name, family=family)
    assert len(row["hops"]) == len(truth)
    (node,) = row["hops"][-1]["nodes"]
    assert (node["labels"], node["ip"] in truth[-1].addresses) == ([label], True)
    assert row["target_summary"]["packet_count"] == 0


def test_default_kernel_limits_do_not_lengthen_the_path(limited_lab: Lab) -> None:
    """With Linux's default ICMP limits, the path's length and addresses are true. The kernel allows
    a burst of 6 answers and then one a second, so each colo traces once."""
    with Fleet(limited_lab) as fleet:
        fleet.wait_attached()
        for colo, (packet_type, port) in zip(limited_lab.colos, PROBES, strict=True):
            for family in FAMILIES:
                body = {
                    "targets": [limited_lab.address("web", family=family)],
                    "colos": [colo.name],
                    "options": {"packet_type": packet_type, "port": port},
                }
                (row,) = fleet.trace(body)["result"][0]["colos"]
                seen = [{node["ip"] for node in hop["nodes"]} for hop in row["hops"]]
                truth = limited_lab.path(colo.name, "web", family=family)
                assert len(seen) == len(truth), (packet_type, port, family)
                for ips, true in zip(seen, truth, strict=True):
                    assert ips <= (true.addresses if not true.silent else {""}), row
