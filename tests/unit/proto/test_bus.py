"""Topics that name who they are about, and URLs that name a broker."""

import pytest
from colotrace_proto import bus
from colotrace_proto.bus import Broker, BrokerUrlError, Process, broker_of, process_of
from colotrace_proto.messages import AgentId, ColoName
from hypothesis import example, given
from hypothesis import strategies as st

PROCESSES = st.builds(
    Process,
    colo=st.from_regex(r"[a-z]{3,8}[0-9]{1,4}", fullmatch=True).map(ColoName),
    agent_id=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).map(AgentId),
    boot_id=st.binary(min_size=16, max_size=16),
)
ONE = Process(ColoName("den01"), AgentId("host1.den01"), bytes(range(16)))
BOOT = "000102030405060708090a0b0c0d0e0f"


def matches(subscription: str, topic: str) -> bool:
    """Whether a subscription with single-level wildcards covers the topic (section 4.7)."""
    filters, levels = subscription.split("/"), topic.split("/")
    return len(filters) == len(levels) and all(
        f in ("+", level) for f, level in zip(filters, levels, strict=True)
    )


def test_topics_are_as_documented() -> None:
    """And as a broker's access list has them."""
    assert ONE.presence == f"colotrace/v1/agents/den01/host1.den01/{BOOT}"
    assert ONE.same_id_presences == "colotrace/v1/agents/den01/host1.den01/+"
    assert ONE.jobs == f"colotrace/v1/jobs/den01/host1.den01/{BOOT}"
    assert bus.jobs(ONE.colo) == "colotrace/v1/jobs/den01"
    assert bus.shared_jobs(ONE.colo) == "$share/den01/colotrace/v1/jobs/den01"
    assert bus.cancels(ONE.colo) == "colotrace/v1/cancels/den01"


@given(PROCESSES)
def test_presence_topic_names_its_process(process: Process) -> None:
    """Coordinators and same_id_presences subscribe to it."""
    assert process_of(process.presence) == process
    assert matches(bus.ALL_AGENTS, process.presence)
    assert matches(process.same_id_presences, process.presence)
    assert process_of(process.jobs) is None


@given(PROCESSES, PROCESSES)
def test_no_two_processes_share_a_topic(one: Process, other: Process) -> None:
    """Neither for presence nor for jobs."""
    if one != other:
        assert one.presence != other.presence
        assert one.jobs != other.jobs


@given(st.text() | st.lists(st.text(max_size=40), max_size=8).map("/".join))
@example("")
@example("colotrace/v1/agents/den01/a")
@example(f"colotrace/v1/agents/den01/a/{BOOT.upper()}")
@example(f"colotrace/v1/agents/den01/a/{BOOT}0")
@example(f"colotrace/v1/agents/den01/a/{BOOT}\n")
@example(f"colotrace/v1/agents/den01/+/{BOOT}")
@example(f"colotrace/v1/agents/Den01/a/{BOOT}")
@example(f"colotrace/v1/agents/den٣/a/{BOOT}")
@example(f"colotrace/v1/agents/x/den01/a/{BOOT}")
@example(f"colotrace/v1/jobs/den01/a/{BOOT}")
@example(f"colotrace/v2/agents/den01/a/{BOOT}")
def test_other_topics_are_ignored(topic: str) -> None:
    """Whatever is written there."""
    assert process_of(topic) is None


@pytest.mark.parametrize(
    ("url", "broker", "shown"),
    [
        ("mqtt://h", Broker("h", 1883, tls=False), "mqtt://h:1883"),
        ("mqtts://h", Broker("h", 8883, tls=True), "mqtts://h:8883"),
        ("MQTTS://H.example/", Broker("h.example", 8883, tls=True), "mqtts://h.example:8883"),
        ("mqtt://[::1]:7", Broker("::1", 7, tls=False), "mqtt://[::1]:7"),
        (
            "mqtt://den01:p%40ss%2Fw%3Ard@10.0.0.1:1",
            Broker("10.0.0.1", 1, tls=False, username="den01", password="p@ss/w:rd"),
            "mqtt://10.0.0.1:1",
        ),
        (
            "mqtt://straße.example",
            Broker("xn--strae-oqa.example", 1883, tls=False),
            "mqtt://xn--strae-oqa.example:1883",
        ),
        ("mqtt://u@h", Broker("h", 1883, tls=False, username="u"), "mqtt://h:1883"),
    ],
)
def test_broker_url_is_parsed(url: str, broker: Broker, shown: str) -> None:
    """Address, user and password, which is not shown."""
    assert broker_of(url) == broker
    assert str(broker_of(url)) == shown
    assert "rd" not in repr(broker)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "does not begin with mqtt://"),
        ("h:1883", "does not begin with mqtt://"),
        ("http://h", "does not begin with mqtt://"),
        ("mqtt://", "names no host"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://u:secret@", "names no host"),
        ("mqtt://h:0", "port 0"),
        ("mqtt://h:65536", "host or port is invalid"),
        ("mqtt://h:x", "host or port is invalid"),
        ("mqtt://[::1", "host or port is invalid"),
        ("mqtt://a..b", "host or port is invalid"),
        (f"mqtt://{'a' * 64}", "host or port is invalid"),
        ("mqtt://u:secret/word@h:1883", "in a password, write / as %2F"),
        ("mqtt://u:secret#word@h:1883", "in a password, write / as %2F"),
        ("mqtt://u:secret℀word@h:1883", "host or port is invalid"),
        ("mqtt://h/topic", "a path, query or fragment"),
        ("mqtt://h?x=1", "a path, query or fragment"),
        ("mqtt://:secret@h", "a password, but no user"),
    ],
)
def test_invalid_broker_url_is_refused_with_a_reason(url: str, words: str) -> None:
    """The reason does not contain the password."""
    with pytest.raises(BrokerUrlError, match=words) as raised:
        broker_of(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


@given(st.text() | st.text().map("mqtt://".__add__) | st.text().map("mqtts://u:".__add__))
def test_any_text_is_a_broker_url_or_refused(url: str) -> None:
    """A result has a host that can be looked up."""
    try:
        broker = broker_of(url)
    except BrokerUrlError:
        return
    broker.host.encode("idna")
    assert 0 < broker.port < 65_536


def test_topics_between_coordinators() -> None:
    process = "0123456789abcdef" * 2
    assert bus.ALL_COORDINATORS == "colotrace/v1/coordinators/all"
    assert bus.coordinator(process) == f"colotrace/v1/coordinators/{process}"
