"""The simulated world: TCP targets, forged replies, refused sends."""

import errno
from typing import Any

import pytest
from scapy.layers.inet import ICMP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6EchoReply, IPerror6

from scenario.kinds import Protocol
from scenario.scapy_judge import answers, probe, world
from scenario.world import World

FAMILIES = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", list(Protocol))


def tcp(network: World, *, sequence: int, flags: str = "S", port: int = 443) -> Any:
    """Return the segment that answers, None where nothing does."""
    sent = probe(network, protocol=Protocol.TCP, ttl=9, port=port, sequence=sequence, flags=flags)
    out = answers(network, sent)
    return out[0][TCP] if out else None


@FAMILIES
def test_ports_answer_as_configured(family: int) -> None:
    """By port, else by the target's rule for all ports."""
    text = """
    [target]
    tcp_ports = { 443 = "syn-ack", 80 = "rst", 81 = "rst-bare", 25 = "silent" }
    """
    network = world(text, family=family)
    said = {port: tcp(network, sequence=9, port=port) for port in (443, 80, 81, 25, 7)}
    assert (said[443].flags, said[443].ack, said[443].sport) == ("SA", 10, 443)
    assert (said[80].flags, said[80].ack) == ("R", 10)
    assert (said[81].flags, said[81].ack) == ("R", 0)
    assert said[25] is None
    assert (said[7].flags, said[7].ack, said[7].dport) == ("RA", 10, 50000)


@FAMILIES
def test_kernel_listener_answers_all_ascending_syns(family: int) -> None:
    """With or without the resets that the prober's kernel sends in between (field note 14)."""
    network = world('[target]\ntcp = "kernel"', family=family)
    said = [tcp(network, sequence=100 + index) for index in range(4)]
    assert [(str(segment.flags), segment.ack) for segment in said] == [
        ("SA", 101),
        ("RA", 102),
        ("SA", 103),
        ("RA", 104),
    ]
    assert tcp(network, sequence=200).flags == "SA"
    assert tcp(network, sequence=201, flags="R") is None
    assert tcp(network, sequence=7).flags == "SA"
    assert network.fates["reset"] == 1


@FAMILIES
def test_kernel_listener_challenges_a_syn_out_of_its_window(family: int) -> None:
    """The bare ACK is about the first SYN, and a retransmission gets its SYN-ACK again."""
    network = world('[target]\ntcp = "kernel"', family=family)
    assert tcp(network, sequence=1_000_000).flags == "SA"
    challenge = tcp(network, sequence=5)
    assert (challenge.flags, challenge.ack) == ("A", 1_000_001)
    assert tcp(network, sequence=1_000_000).flags == "SA"


@FAMILIES
def test_open_udp_port_answers_with_a_datagram(family: int) -> None:
    """From the port asked to the port that asked."""
    network = world('[target]\nudp = "reply"', family=family)
    (answer,) = answers(network, probe(network, protocol=Protocol.UDP, ttl=1, port=53))
    assert (answer[UDP].sport, answer[UDP].dport) == (53, 50000)
    assert answer.src == network.addresses.target


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("forgery", ["flow", "probe", "destination"])
def test_forged_error_comes_first_and_quotes_another_probe(
    family: int, protocol: Protocol, forgery: str
) -> None:
    """Of another flow, of ours, or to another destination."""
    network = world(f'hops = [{{ forge = "{forgery}" }}]', family=family)
    sent = probe(network, protocol=protocol, ttl=1)
    first, second = network.deliver(sent, 0)
    assert (first.at_ns, second.at_ns) == (5_000_000, 10_000_000)
    false, true = answers(network, sent)
    at = IPerror if family == 4 else IPerror6
    same_destination = false[at].dst == true[at].dst
    assert same_destination == (forgery != "destination")
    # From the quoted transport on.
    start = 2 * (20 if family == 4 else 40) + 8
    inner = bytes(false)[start:], bytes(true)[start:]
    if protocol in {Protocol.UDP, Protocol.TCP}:
        layer = UDPerror if protocol is Protocol.UDP else TCPerror
        assert (false[layer].sport == true[layer].sport) == (forgery != "flow")
    assert inner[0] != inner[1]


@FAMILIES
def test_forged_answer_of_the_target_claims_another_probe(family: int) -> None:
    """Echo replies and segments quote nothing: what they echo is forged."""
    network = world('[target]\nforge = "probe"', family=family)
    layer = ICMP if family == 4 else ICMPv6EchoReply
    echoes = answers(network, probe(network, protocol=Protocol.ICMP, ttl=1, sequence=1))
    assert [echo[layer].seq for echo in echoes] == [1 ^ 0x5A5A, 1]
    segments = answers(network, probe(network, protocol=Protocol.TCP, ttl=1, sequence=1))
    assert [segment[TCP].ack for segment in segments] == [(1 ^ 0x1A5A5A5A) + 1, 2]


@FAMILIES
def test_sends_are_refused_as_configured(family: int) -> None:
    """By TTL and ordinal, counted for each protocol."""
    text = """
    [[send_failures]]
    errno = "EPERM"
    ttl = 2
    ordinal = 1
    [[send_failures]]
    errno = "ENOBUFS"
    ttl = 3
    """
    network = world(text, family=family)

    def refused(ttl: int, protocol: Protocol) -> int | None:
        return network.send_error(probe(network, protocol=protocol, ttl=ttl))

    first = [refused(2, Protocol.UDP) for _ in range(3)]
    assert first == [None, errno.EPERM, None]
    assert [refused(2, Protocol.TCP) for _ in range(2)] == [None, errno.EPERM]
    assert [refused(3, Protocol.ICMP) for _ in range(2)] == [errno.ENOBUFS] * 2
    assert refused(1, Protocol.UDP) is None


@FAMILIES
def test_world_is_deterministic(family: int) -> None:
    """It reads no clock and draws no random number."""
    text = 'hops = [{ width = 3 }, { width = 2, balance = "packet", copies = 2 }]'
    runs = []
    for _ in range(2):
        network = world(text, family=family)
        runs.append(
            [
                network.deliver(probe(network, protocol=protocol, ttl=ttl), now_ns)
                for now_ns, ttl in enumerate((1, 2, 3) * 5)
                for protocol in Protocol
            ]
        )
    assert runs[0] == runs[1]
