"""The simulated world: GRE probes, as scapy sees them and what they bring back."""

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6ParamProblem
from scapy.layers.l2 import GRE

from scenario.kinds import Protocol
from scenario.scapy_judge import PAYLOAD, answers, probe, world

FAMILIES = pytest.mark.parametrize("family", [4, 6])


@FAMILIES
def test_target_without_gre_refuses_it(family: int) -> None:
    """Protocol unreachable; in IPv6 a parameter problem at the next-header field."""
    network = world("", family=family)
    (answer,) = answers(network, probe(network, protocol=Protocol.GRE, ttl=1))
    if family == 4:
        assert (answer[ICMP].type, answer[ICMP].code) == (3, 2)
    else:
        assert (answer[ICMPv6ParamProblem].code, answer[ICMPv6ParamProblem].ptr) == (1, 6)
    assert answer.src == network.addresses.target


@FAMILIES
@pytest.mark.parametrize("wrapped", [False, True])
def test_target_with_gre_answers_the_inner_echo_request(family: int, wrapped: bool) -> None:
    """Directly, or in a GRE packet with the key of the request."""
    word = "reply-in-gre" if wrapped else "reply"
    network = world(f'[target]\ngre = "{word}"', family=family)
    sent = probe(network, protocol=Protocol.GRE, ttl=1, source_port=0xBEEF, sequence=77)
    (answer,) = answers(network, sent)
    assert answer.src == network.addresses.target
    assert (GRE in answer) == wrapped
    if wrapped:
        assert (answer[GRE].key, answer[GRE].proto) == (0xBEEF, 0x0800 if family == 4 else 0x86DD)
        assert answer[GRE].payload.dst == network.addresses.prober
    reply = answer[ICMP] if family == 4 else answer[ICMPv6EchoReply]
    assert (reply.id, reply.seq) == (0xBEEF, 77)
    assert (bytes(reply.payload) if family == 4 else reply.data) == PAYLOAD


@FAMILIES
def test_malformed_gre_is_dropped(family: int) -> None:
    """No key, another payload type, or a fault in the inner packet."""
    network = world("", family=family)
    start = 20 if family == 4 else 40
    sent = probe(network, protocol=Protocol.GRE, ttl=1)
    for at in (start, start + 3, len(sent) - 1):
        broken = bytearray(sent)
        broken[at] ^= 0x21
        assert network.deliver(bytes(broken), 0) == []
    assert network.fates == {"malformed": 2, "wrong-checksum": 1}


@FAMILIES
def test_inner_request_to_another_host_is_forwarded(family: int) -> None:
    """The target does not answer it."""
    network = world('[target]\ngre = "reply"', family=family)
    other = world('[target]\naddress4 = "203.0.113.8"\naddress6 = "2001:db8::8"', family=family)
    outer = probe(network, protocol=Protocol.GRE, ttl=1)
    inner = probe(other, protocol=Protocol.GRE, ttl=1)
    start = (20 if family == 4 else 40) + 8
    assert network.deliver(outer[:start] + inner[start:], 0) == []
    assert network.fates == {"silent": 1}


def test_balancers_hash_the_key_and_the_inner_packet() -> None:
    """Probes of one flow differ in neither."""
    network = world("hops = [{}]", family=4)
    for source_port, sequence in ((1, 1), (1, 1), (2, 1), (1, 2)):
        sent = probe(
            network, protocol=Protocol.GRE, ttl=1, source_port=source_port, sequence=sequence
        )
        network.deliver(sent, 0)
    flows = [seen.flow for seen in network.seen]
    assert flows[0] == flows[1]
    assert len(set(flows)) == 3
