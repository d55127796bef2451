"""Access control of a Mosquitto that is configured by the files of deploy/mqtt.

Each test runs with the ACL file, and with the plugin that mosquitto.conf describes.
"""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import structlog
from colotrace_coordinator.links.mqtt.relayed import relay_measurements
from colotrace_coordinator.metrics import RelayMetrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.peers.relay.relay import Relay
from colotrace_proto.bus import broker_of
from colotrace_proto.mqtt import connection
from colotrace_proto.running import RunningClock
from colotrace_proto.tasks import first_of
from eventually import until
from fleet.authority import Authority
from fleet.guarded import (
    AGENTS,
    BOOT,
    DEPLOY,
    NOT_AUTHORIZED,
    TREE,
    WAIT_S,
    GuardedBroker,
    Visitor,
    access,
)
from prometheus_client import CollectorRegistry
from unit.coordinator.peers.relay.between import ACCOUNT, ID, Here, fill

EXCHANGED = ("coordinators", "coordinators/all", f"coordinators/{BOOT}")
"""Topics between coordinators."""


def test_example_acl_is_the_output_of_the_script() -> None:
    """For the agents of the example."""
    agents = [f"{colo}/{agent}" for agent, colo in AGENTS.items()]
    assert (DEPLOY / "acl").read_text() == access("acl", *agents)


@pytest.mark.parametrize(
    ("user", "password"),
    [(None, None), ("nobody", "nothing"), ("den01-a", "wrong"), ("coordinator", "den01-a/p@ss")],
)
def test_unknown_users_are_refused(
    guarded: GuardedBroker, user: str | None, password: str | None
) -> None:
    """Without a user, as an unknown user, with a wrong password."""
    assert Visitor(guarded, user, password=password).refused == "Not authorized"


def test_certificate_of_another_ca_is_refused(guarded: GuardedBroker, tmp_path: Path) -> None:
    """With any name; and no certificate, at the port that requires one."""
    forged = Authority(tmp_path).issue("den01-a", also="den01", client=True)
    assert Visitor(guarded, None, pair=forged).refused == "cut off"
    context = ssl.create_default_context(cafile=guarded.authority.path)
    address = (guarded.host, guarded.by_certificate)
    with (
        socket.create_connection(address, timeout=WAIT_S) as bare,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(bare, server_hostname=guarded.host) as tls,
    ):
        tls.recv(1)


def test_certificate_of_an_unlisted_user_has_no_rights(guarded: GuardedBroker) -> None:
    """A certificate of the right CA whose user is not in the ACL: it may neither publish nor
    receive."""
    pair = guarded.authority.issue("fra01-a", also="fra01", client=True)
    with Visitor(guarded, None, pair=pair) as visitor:
        assert visitor.publish(f"{TREE}/agents/fra01/fra01-a/{BOOT}") == NOT_AUTHORIZED
        assert visitor.publish(f"{TREE}/jobs/den01") == NOT_AUTHORIZED


@pytest.mark.parametrize("by_certificate", [False, True])
def test_agent_may_publish_only_its_own_presence(
    guarded: GuardedBroker, *, by_certificate: bool
) -> None:
    """No presence of other agents of its colo or of other colos, no jobs, no cancels, no other
    topic."""
    pair = guarded.pair("den01-a") if by_certificate else None
    refused = [
        f"{TREE}/agents/den01/den01-b/{BOOT}",
        f"{TREE}/agents/sin01/den01-a/{BOOT}",
        f"{TREE}/agents/sin01/sin01-a/{BOOT}",
        f"{TREE}/agents/den01/den01-a",
        f"{TREE}/agents/den01/den01-a/{BOOT}/more",
        f"{TREE}/jobs/den01",
        f"{TREE}/jobs/den01/den01-a/{BOOT}",
        f"{TREE}/jobs/sin01",
        f"{TREE}/cancels/den01",
        f"{TREE}/cancels/sin01",
        f"{TREE}/coordinators",
        f"{TREE}/coordinators/all",
        f"{TREE}/coordinators/{BOOT}",
        "elsewhere",
    ]
    own = f"{TREE}/agents/den01/den01-a/{BOOT}"
    with (
        Visitor(guarded, "coordinator") as watching,
        Visitor(guarded, "den01-a", pair=pair) as agent,
    ):
        assert watching.subscribe(f"{TREE}/agents/+/+/+") == 0
        codes = {topic: agent.publish(topic) for topic in refused}
        assert set(codes.values()) == {NOT_AUTHORIZED}, codes
        assert agent.publish(own) != NOT_AUTHORIZED
        assert watching.heard(until=own) == []


def test_coordinator_may_not_publish_presence(guarded: GuardedBroker) -> None:
    """It may publish only jobs, cancels, and messages to other coordinators."""
    with Visitor(guarded, "coordinator") as coordinator:
        assert coordinator.publish(f"{TREE}/agents/den01/den01-a/{BOOT}") == NOT_AUTHORIZED
        assert coordinator.publish("elsewhere") == NOT_AUTHORIZED
        for topic in ("jobs/den01", f"jobs/den01/x/{BOOT}", "cancels/den01", *EXCHANGED):
            assert coordinator.publish(f"{TREE}/{topic}") != NOT_AUTHORIZED


@pytest.mark.parametrize("exchanged", EXCHANGED)
def test_coordinators_receive_messages_of_each_other_and_agents_do_not(
    guarded: GuardedBroker, exchanged: str
) -> None:
    reports, mark = f"{TREE}/{exchanged}", f"{TREE}/cancels/den01"
    with (
        Visitor(guarded, "coordinator") as one,
        Visitor(guarded, "coordinator") as other,
        Visitor(guarded, "den01-a") as agent,
    ):
        assert other.subscribe(reports) == 0
        assert agent.subscribe(reports) == (NOT_AUTHORIZED if guarded.plugin else 0)
        assert agent.subscribe(mark) == 0
        one.publish(reports)
        assert other.heard(until=reports) == []
        one.publish(mark)
        assert agent.heard(until=mark) == []


async def test_coordinators_follow_measurements_with_these_rights(guarded: GuardedBroker) -> None:
    """The broker passes on what their link publishes and subscribes to."""
    clock, log = RunningClock(), structlog.get_logger()
    context = ssl.create_default_context(cafile=guarded.authority.path)
    relays = [
        Relay(Peers(), metrics=RelayMetrics(CollectorRegistry()), clock=clock) for _ in range(2)
    ]

    async def run(relay: Relay) -> None:
        async with connection(
            broker_of(guarded.url("coordinator")), tls=context, identifier=relay.origin, clock=clock
        ) as client:

            async def receive() -> None:
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    relay.heard(message.topic.value, message.payload)

            await first_of(receive(), relay_measurements(client, relay, clock=clock, log=log))

    tasks = [asyncio.create_task(run(relay)) for relay in relays]
    try:
        await until(lambda: all(relay.echoed for relay in relays))
        here = Here()
        relays[0].serve(here)
        fill(here.feed)
        feed = await relays[1].follow(ACCOUNT, ID)
        assert feed is not None
        assert feed.position == here.feed.position
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        clock.close()


@pytest.mark.parametrize("user", ["den01-b", "sin01-a"])
def test_agent_receives_nothing_of_other_agents(guarded: GuardedBroker, user: str) -> None:
    """With any subscription; retained presences are not delivered, either."""
    others, colo = f"{TREE}/agents/den01/den01-a/{BOOT}", AGENTS[user]
    mark = f"{TREE}/jobs/{colo}/{user}/{BOOT}"
    with (
        Visitor(guarded, "den01-a") as agent,
        Visitor(guarded, "coordinator") as coordinator,
        Visitor(guarded, user) as curious,
    ):
        agent.publish(others, retain=True)
        asked = ["#", "+/+/+/+/+/+", f"{TREE}/#", f"{TREE}/agents/+/+/+", others, f"{TREE}/jobs/#"]
        if colo != "den01":
            asked += [f"{TREE}/jobs/den01", f"{TREE}/cancels/den01"]
        codes = {topic: curious.subscribe(topic) for topic in asked}
        # With an ACL file a subscription succeeds, but nothing is delivered.
        assert set(codes.values()) == {NOT_AUTHORIZED if guarded.plugin else 0}, codes
        assert curious.subscribe(mark) == 0
        agent.publish(others, b"again", retain=True)
        own_colo = [f"{TREE}/jobs/den01", f"{TREE}/cancels/den01"] if colo != "den01" else []
        for topic in (f"{TREE}/jobs/den01/den01-a/{BOOT}", *own_colo, mark):
            coordinator.publish(topic)
        assert curious.heard(until=mark) == []
        agent.publish(others, b"", retain=True)


def test_agent_receives_its_own_messages(guarded: GuardedBroker) -> None:
    """Its colo's jobs by the shared subscription, its own jobs, cancels, and presences with its
    id."""
    own = f"{TREE}/agents/den01/den01-b/{BOOT}"
    topics = [f"{TREE}/jobs/den01", f"{TREE}/jobs/den01/den01-b/{BOOT}", f"{TREE}/cancels/den01"]
    with Visitor(guarded, "den01-b") as agent, Visitor(guarded, "coordinator") as coordinator:
        shared = f"$share/den01/{topics[0]}"
        asked = [shared, *topics[1:], f"{TREE}/agents/den01/den01-b/+"]
        assert [agent.subscribe(topic) for topic in asked] == [0, 0, 0, 0]
        for topic in topics:
            coordinator.publish(topic)
        agent.publish(own)
        assert agent.heard(until=own) == topics


def test_foreign_subscriber_of_a_shared_subscription(guarded: GuardedBroker) -> None:
    """Another colo's agent in this colo's shared subscription reads nothing. With an ACL file the
    broker still assigns jobs to it, as docs/scaling.md says; with the plugin it does not."""
    jobs = f"{TREE}/jobs/den01"
    mark = f"{TREE}/cancels/den01"
    with (
        Visitor(guarded, "den01-a") as agent,
        Visitor(guarded, "sin01-a") as thief,
        Visitor(guarded, "coordinator") as coordinator,
    ):
        assert agent.subscribe(f"$share/den01/{jobs}") == agent.subscribe(mark) == 0
        assert thief.subscribe(f"$share/den01/{jobs}") == (NOT_AUTHORIZED if guarded.plugin else 0)
        assert thief.subscribe(f"{TREE}/cancels/sin01") == 0
        for _ in range(10):
            coordinator.publish(jobs)
        coordinator.publish(mark)
        coordinator.publish(f"{TREE}/cancels/sin01")
        assert agent.heard(until=mark) == [jobs] * (10 if guarded.plugin else 5)
        assert thief.heard(until=f"{TREE}/cancels/sin01") == []


def test_will_for_another_presence_has_no_effect(guarded: GuardedBroker) -> None:
    """It does not delete the presence when its client disappears."""
    others, own = (f"{TREE}/agents/den01/{agent}/{BOOT}" for agent in ("den01-a", "den01-b"))
    with Visitor(guarded, "den01-a") as agent, Visitor(guarded, "coordinator") as watching:
        agent.publish(others, b"here", retain=True)
        evil = Visitor(guarded, "den01-b", will=others)
        if not evil.refused:
            evil.vanish()
        assert watching.subscribe(f"{TREE}/agents/+/+/+") == 0
        with Visitor(guarded, "den01-b") as again:
            again.publish(own)
        assert watching.heard(until=own) == [others]  # what is retained, once
        agent.publish(others, b"", retain=True)
