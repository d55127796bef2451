"""The simulated world, each behaviour, as scapy sees it."""

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)

from scenario.kinds import Protocol
from scenario.probe import dissect
from scenario.scapy_judge import PAYLOAD, SECOND, answers, probe, world
from scenario.world import World

FAMILIES = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", list(Protocol))
THREE = "hops = [{ rtt_ms = 1.25 }, { rtt_ms = 10 }, { rtt_ms = 30 }]\n[target]\nrtt_ms = 42.5\n"


def one(network: World, packet: bytes) -> Any:
    """Return the only answer to a packet."""
    (answer,) = answers(network, packet)
    return answer


def header(packet: Any) -> tuple[str, str]:
    """Return source and destination."""
    return packet.src, packet.dst


@FAMILIES
@PROTOCOLS
def test_router_quotes_the_whole_probe_in_time_exceeded(family: int, protocol: Protocol) -> None:
    """From its address, after its RTT, with TTL 1 in the quote."""
    network = world(THREE, family=family)
    for ttl, rtt_ms in ((1, 1.25), (2, 10), (3, 30)):
        sent = probe(network, protocol=protocol, ttl=ttl)
        (delivery,) = network.deliver(sent, SECOND)
        assert delivery.at_ns == SECOND + rtt_ms * 1e6
        answer = one(network, sent)
        assert header(answer) == (network.addresses.routers[ttl][0], network.addresses.prober)
        quote = answer[IPerror] if family == 4 else answer[IPerror6]
        if family == 4:
            assert (answer[ICMP].type, answer[ICMP].code, quote.ttl) == (11, 0, 1)
        else:
            assert (answer[ICMPv6TimeExceeded].code, quote.hlim) == (0, 1)
        # scapy reads the rest of the quote; its bytes are compared as they came.
        assert delivery.packet.endswith(dissect(sent).transport)  # type: ignore[union-attr]
    assert network.fates == {"answered": 6}


@FAMILIES
def test_target_answers_by_protocol(family: int) -> None:
    """Echo reply, port unreachable, RST-ACK, at every TTL that reaches it."""
    network = world(THREE, family=family)
    for ttl in (4, 5, 64):
        echo = one(network, probe(network, protocol=Protocol.ICMP, ttl=ttl, sequence=77))
        reply = echo[ICMP] if family == 4 else echo[ICMPv6EchoReply]
        assert (reply.id, reply.seq) == (50000, 77)
        data = bytes(reply.payload) if family == 4 else reply.data
        assert data == PAYLOAD
        datagram = one(network, probe(network, protocol=Protocol.UDP, ttl=ttl))
        if family == 4:
            assert (datagram[ICMP].type, datagram[ICMP].code) == (3, 3)
            assert (datagram[UDPerror].dport, datagram[IPerror].ttl) == (33434, ttl - 3)
        else:
            assert datagram[ICMPv6DestUnreach].code == 4
            assert datagram[IPerror6].hlim == ttl - 3
        reset = one(network, probe(network, protocol=Protocol.TCP, ttl=ttl, sequence=(1 << 32) - 1))
        assert (reset[TCP].flags, reset[TCP].ack) == ("RA", 0)
        for answer in (echo, datagram, reset):
            assert header(answer) == (network.addresses.target, network.addresses.prober)


@FAMILIES
def test_malformed_packets_are_dropped_and_counted(family: int) -> None:
    """Wrong checksums or lengths, and packets of other hosts and protocols."""
    network = world(THREE, family=family)
    at = 20 if family == 4 else 40
    for protocol in (Protocol.ICMP, Protocol.UDP, Protocol.TCP):
        sent = bytearray(probe(network, protocol=protocol, ttl=2))
        sent[at + 4] ^= 1
        assert network.deliver(bytes(sent), 0) == []
    uncomputed = bytearray(probe(network, protocol=Protocol.UDP, ttl=2))
    uncomputed[at + 6 : at + 8] = b"\0\0"
    assert network.deliver(bytes(uncomputed), 0) == []
    # The altered length of the datagram is found before its checksum.
    assert network.fates == {"wrong-checksum": 3, "malformed": 1}
    sent = bytearray(probe(network, protocol=Protocol.UDP, ttl=2))
    for broken in (b"", bytes(sent[:10]), bytes(sent[:-1]), bytes(sent) + b"x"):
        assert network.deliver(broken, 0) == []
    assert network.fates["malformed"] == 5
    elsewhere = world("[target]\naddress4 = '203.0.113.8'\naddress6 = '2001:db8::8'", family=family)
    assert network.deliver(probe(elsewhere, protocol=Protocol.TCP, ttl=9), 0) == []
    assert network.fates["elsewhere"] == 1


def test_packet_with_a_wrong_header_checksum_is_dropped() -> None:
    """Only IPv4 has one."""
    network = world(THREE, family=4)
    sent = bytearray(probe(network, protocol=Protocol.ICMP, ttl=2))
    sent[8] = 3
    assert network.deliver(bytes(sent), 0) == []
    assert network.fates == {"wrong-checksum": 1}


@FAMILIES
def test_silence_loss_and_black_holes_give_no_answer(family: int) -> None:
    """The fate says which of them it was."""
    text = (
        'hops = [{ silent = true }, { lose = [1] }, { silent_to = ["udp"] }, { blackhole = true }]'
    )
    network = world(text, family=family)

    def count(ttl: int, protocol: Protocol = Protocol.UDP) -> int:
        return len(network.deliver(probe(network, protocol=protocol, ttl=ttl), 0))

    assert [count(1), count(1)] == [0, 0]
    assert [count(2), count(2), count(2)] == [1, 0, 1]
    assert [count(3), count(3, Protocol.TCP)] == [0, 1]
    assert [count(4), count(5), count(30)] == [1, 0, 0]
    assert network.fates == {"silent": 5, "lost": 1, "answered": 4}


@FAMILIES
def test_jitter_cycles_and_single_replies_are_delayed(family: int) -> None:
    """By the probe's ordinal at its TTL."""
    text = "hops = [{ rtt_ms = 10, jitter_ms = [0, 0.5], delays_ms = { 2 = 100 } }]"
    network = world(text, family=family)
    sent = probe(network, protocol=Protocol.UDP, ttl=1)
    delays = [network.deliver(sent, 0)[0].at_ns / 1e6 for _ in range(4)]
    assert delays == [10, 10.5, 110, 10.5]


@FAMILIES
def test_copies_are_identical(family: int) -> None:
    """They come a tenth of a millisecond apart."""
    network = world("[target]\nrtt_ms = 1\ncopies = 3", family=family)
    out = network.deliver(probe(network, protocol=Protocol.ICMP, ttl=1), 0)
    assert [delivery.at_ns for delivery in out] == [1_000_000, 1_100_000, 1_200_000]
    assert len({delivery.packet for delivery in out}) == 1


@FAMILIES
def test_limit_is_linuxs_token_bucket(family: int) -> None:
    """Six errors at once, then one a second. Echo replies are not limited."""
    network = world("[target]\nlimit = {}", family=family)

    def burst(protocol: Protocol, *, at_s: float) -> int:
        sent = probe(network, protocol=protocol, ttl=9)
        return sum(len(network.deliver(sent, round(at_s * SECOND))) for _ in range(10))

    assert burst(Protocol.UDP, at_s=1) == 6
    assert burst(Protocol.UDP, at_s=2) == 1
    assert burst(Protocol.ICMP, at_s=2) == 10
    assert burst(Protocol.UDP, at_s=4.5) == 2
    assert burst(Protocol.UDP, at_s=100) == 6
    assert network.fates["limited"] == 25


@FAMILIES
@PROTOCOLS
def test_balancer_by_flow_keeps_a_flow_on_one_branch(family: int, protocol: Protocol) -> None:
    """A router behind it continues on the same branch."""
    text = "hops = [{ width = 2 }, { width = 2, follows = 1 }, { width = 2 }]"
    network = world(text, family=family)
    branches = set()
    for source_port in range(2000, 2032):
        nodes = []
        for ttl in (1, 2, 3, 1, 2, 3):
            sent = probe(network, protocol=protocol, ttl=ttl, source_port=source_port)
            address = one(network, sent).src
            nodes.append(network.addresses.routers[ttl].index(address))
        assert nodes[:3] == nodes[3:]
        assert nodes[0] == nodes[1]
        branches.add((nodes[0], nodes[2]))
    assert len(branches) == 4


def test_icmp_flow_needs_a_constant_checksum() -> None:
    """Balancers do not hash the sequence, but the checksum that it changes."""
    network = world("hops = [{}]", family=4)
    for sequence in (1, 2):
        network.deliver(probe(network, protocol=Protocol.ICMP, ttl=1, sequence=sequence), 0)
    assert network.seen[0].flow != network.seen[1].flow
    assert [seen.ordinal for seen in network.seen] == [0, 1]


def test_balancer_by_packet_takes_turns() -> None:
    """So that counts are known."""
    network = world('hops = [{ width = 3, balance = "packet" }]', family=4)
    sent = probe(network, protocol=Protocol.UDP, ttl=1)
    sources = [one(network, sent).src for _ in range(4)]
    assert sources == ["198.18.1.1", "198.18.1.2", "198.18.1.3", "198.18.1.1"]


@pytest.mark.parametrize(
    ("error", "four", "six"),
    [
        ("net-unreachable", (3, 0), (1, 0)),
        ("host-unreachable", (3, 1), (1, 3)),
        ("protocol-unreachable", (3, 2), (4, 1)),
        ("port-unreachable", (3, 3), (1, 4)),
        ("fragmentation-needed", (3, 4), (2, 0)),
        ("admin-prohibited", (3, 13), (1, 1)),
    ],
)
def test_refusing_router_ends_every_path(
    error: str, four: tuple[int, int], six: tuple[int, int]
) -> None:
    """It refuses what reaches it, or what would pass it."""
    for family, code, at in ((4, four, 20), (6, six, 40)):
        text = f'hops = [{{}}, {{ refuse = "{error}", mtu = 1300 }}, {{}}]'
        network = world(text, family=family)
        for ttl in (2, 3, 9):
            answer = one(network, probe(network, protocol=Protocol.UDP, ttl=ttl))
            assert answer.src == network.addresses.routers[2][0]
            assert tuple(bytes(answer)[at : at + 2]) == code
        if error == "fragmentation-needed":
            mtu = answer[ICMP].nexthopmtu if family == 4 else answer[ICMPv6PacketTooBig].mtu
            assert mtu == 1300
        passing = world(text.replace("mtu =", 'refused = "passing", mtu ='), family=family)
        expired = one(passing, probe(passing, protocol=Protocol.UDP, ttl=2))
        assert bytes(expired)[at] == (11 if family == 4 else 3)
        refused = one(passing, probe(passing, protocol=Protocol.UDP, ttl=3))
        assert tuple(bytes(refused)[at : at + 2]) == code


@FAMILIES
def test_answers_may_come_from_other_addresses(family: int) -> None:
    """A DNAT box, a target with another exit, a gateway, and routers beyond the target."""
    network = world(
        """
        hops = [{ address = "target" }, { impersonates = [2, 4], rtt_ms = 5 }]
        after_target = [{ rtt_ms = 7 }]
        [target]
        errors_from = "stranger"
        """,
        family=family,
    )
    named = network.addresses

    def source(ttl: int, protocol: Protocol) -> str:
        return str(one(network, probe(network, protocol=protocol, ttl=ttl)).src)

    assert source(1, Protocol.UDP) == named.target
    assert source(2, Protocol.ICMP) == named.target
    assert source(3, Protocol.UDP) == named.stranger
    assert source(3, Protocol.ICMP) == named.target
    plain = world("after_target = [{ rtt_ms = 7 }]", family=family)
    answer = one(plain, probe(plain, protocol=Protocol.TCP, ttl=2))
    assert answer.src == plain.addresses.routers[2][0]


@FAMILIES
@PROTOCOLS
def test_short_quote_has_the_given_length(family: int, protocol: Protocol) -> None:
    """8 bytes after the header."""
    network = world("hops = [{ quote = 8 }]", family=family)
    sent = probe(network, protocol=protocol, ttl=1)
    (delivery,) = network.deliver(sent, 0)
    at = 28 if family == 4 else 48
    inner = 20 if family == 4 else 40
    assert delivery.packet[at + inner :] == sent[inner : inner + 8]


def test_quoted_ip_id_is_changed_as_configured() -> None:
    """Zero, swapped, or off by one; the header checksum is right for it."""
    for how, ident in (("zero", 0), ("swapped", 0x3412), ("plus-one", 0x1235), ("same", 0x1234)):
        network = world(f'hops = [{{ quoted_id = "{how}" }}]', family=4)
        quote = one(network, probe(network, protocol=Protocol.UDP, ttl=1))[IPerror]
        assert quote.id == ident
        checksum = quote.chksum
        del quote.chksum
        assert IPerror(bytes(quote)).chksum == checksum


@FAMILIES
@pytest.mark.parametrize("protocol", [Protocol.UDP, Protocol.TCP])
def test_translator_changes_address_and_checksum(family: int, protocol: Protocol) -> None:
    """The quote is the packet as it was outside of the translator."""
    for nat, port in (("source", 50000), ("source-and-port", 50000 ^ 0x2A15)):
        network = world(f'hops = [{{ nat = "{nat}" }}]', family=family)
        answer = one(network, probe(network, protocol=protocol, ttl=1))
        quote = answer[IPerror] if family == 4 else answer[IPerror6]
        assert quote.src not in {network.addresses.prober, network.addresses.target}
        assert quote.dst == network.addresses.target
        whole = (IP if family == 4 else IPv6)(bytes(quote))
        layer = whole[UDP] if protocol is Protocol.UDP else whole[TCP]
        checksum = layer.chksum
        assert layer.sport == port
        del layer.chksum
        again = (IP if family == 4 else IPv6)(bytes(whole))
        assert again[type(layer)].chksum == checksum


@FAMILIES
def test_inner_header_with_options_is_well_formed(family: int) -> None:
    """Router alert, or a hop-by-hop header, before the transport."""
    network = world("hops = [{ inner_options = true }]", family=family)
    sent = probe(network, protocol=Protocol.UDP, ttl=1)
    answer = one(network, sent)
    if family == 4:
        assert answer[IPerror].ihl == 6
        assert answer[IPerror].len == len(sent) + 4
    else:
        assert answer[IPerror6].plen == len(sent) - 40 + 8
        assert answer[IPerror6].nh == 0
    assert answer[UDPerror].sport == 50000
    assert bytes(answer).endswith(PAYLOAD)


@FAMILIES
def test_extensions_follow_a_padded_quote(family: int) -> None:
    """RFC 4884's length, the structure's checksum, RFC 4950's label stack."""
    text = (
        "hops = [{ extension = { mpls = [{ label = 16004, exp = 1, ttl = 1 }, { label = 3 }] } }]"
    )
    network = world(text, family=family)
    (delivery,) = network.deliver(probe(network, protocol=Protocol.UDP, ttl=1), 0)
    at = 20 if family == 4 else 40
    assert delivery.packet[at + (5 if family == 4 else 4)] * (4 if family == 4 else 8) == 128
    structure = delivery.packet[at + 8 + 128 :]
    assert structure[4:] == bytes.fromhex("000c0101" + "03e84201" + "00003101")
    assert structure[0] == 0x20
    assert _sum(structure) == 0xFFFF


def _sum(data: bytes) -> int:
    total = sum(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
