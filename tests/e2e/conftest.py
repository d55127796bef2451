"""A fleet for tests that only send requests; tests that stop programs create their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cloudflare import Cloudflare
from fleet import AgentSpec, Broker, Fleet
from fleet.fleet import default_agents, two_coordinators
from fleet.guarded import GuardedBroker
from lab import Lab

_OPERATION = Path(__file__).parent.parent / "contract" / "operation.json"


@pytest.fixture(
    scope="session",
    params=["direct", pytest.param("mqtt", marks=pytest.mark.xdist_group("mqtt"))],
)
def fleet(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A coordinator and agents in each colo, all attached, with and without a broker. Tests must
    not stop anything. Two colos have two agents, either of which may get a job."""
    spares = [
        AgentSpec(host=colo.name, colo=colo.name, city=colo.city, agent_id=f"{colo.name}-b")
        for colo in lab.colos
        if colo.name in ("den01", "fra01")
    ]
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(lab)) if request.param == "mqtt" else None
        agents = [*default_agents(lab), *spares]
        running = stack.enter_context(Fleet(lab, agents=agents, broker=broker))
        running.wait_attached()
        yield running


@pytest.fixture
def broker(lab: Lab) -> Iterator[Broker]:
    """A broker for one test."""
    with Broker(lab) as running:
        yield running


@pytest.fixture
def another(lab: Lab, broker: Broker, fleet: Fleet) -> Iterator[Fleet]:
    """A second coordinator with the same agents."""
    with Fleet(lab, broker=broker, beside=fleet) as running:
        running.wait_attached()
        yield running


@pytest.fixture(scope="session")
def coordinators(lab: Lab) -> Iterator[list[Fleet]]:
    """Two with the same agents, one in den01 and one in fra01. Tests must not stop anything."""
    agents = [spec for spec in default_agents(lab) if spec.colo in ("den01", "fra01")]
    with Broker(lab) as broker, two_coordinators(lab, broker, agents=agents) as both:
        yield both


@pytest.fixture
def own_agents(lab: Lab) -> list[AgentSpec]:
    """The agents of `own_fleet`: one in den01 and one in fra01."""
    return [spec for spec in default_agents(lab) if spec.colo in ("den01", "fra01")]


@pytest.fixture
def own_fleet(
    lab: Lab, own_agents: list[AgentSpec], request: pytest.FixtureRequest
) -> Iterator[Fleet]:
    """A fleet for one test; its parameter is the link, `direct` or `mqtt`."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(lab)) if request.param == "mqtt" else None
        running = stack.enter_context(Fleet(lab, agents=own_agents, broker=broker))
        running.wait_attached()
        yield running


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(each, marks=pytest.mark.xdist_group(f"broker by {each}"))
        for each in ("acl", "plugin")
    ],
)
def guarded(
    lab: Lab, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedBroker]:
    """A broker with access control, by an ACL file and by a plugin."""
    folder = tmp_path_factory.mktemp("guarded")
    with GuardedBroker(lab, folder, plugin=request.param == "plugin") as running:
        yield running


@pytest.fixture(scope="session")
def client(fleet: Fleet) -> Iterator[Cloudflare]:
    """The official SDK with another base URL and without retries. Making it takes as much
    processor time as most requests: it reads the system's certificates."""
    with Cloudflare(base_url=fleet.base_url, api_token=fleet.token, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def check_answer() -> Callable[[Any], None]:
    """Validate an answer's body against the public OpenAPI operation."""
    operation = json.loads(_OPERATION.read_text())["operation"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft4Validator(schema)

    def check(body: Any) -> None:
        validator.validate(body)

    return check
