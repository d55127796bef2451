"""The agent's GRE taps on a host with other tunnels, with real raw sockets."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from colotrace_agent.model import Flow
from colotrace_agent.packets.formats import writer_for
from colotrace_proto.messages import PacketType
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw
from unit.agent.made import marks

from lab import Lab, hear_gre

pytestmark = pytest.mark.lab

KEYED = GRE(key_present=1, key=5)
# With its addresses, since scapy asks the network for a missing one.
ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INNER, INNER6 = IP(src="10.0.0.9", dst="10.0.0.1"), IPv6(src="fd00::9", dst="fd00::1")


def probe(address: str, family: socket.AddressFamily) -> bytes:
    """A probe to the host itself, from the GRE header on."""
    own = socket.inet_pton(family, address)
    flow = Flow(PacketType.GRE, own, own, 0xC0107ACE, 0, 4_000, marks())
    return bytes(writer_for(flow).write(0, 1)[20 if family == socket.AF_INET else 40 :])


ANSWERS = [
    bytes(KEYED / INNER / ICMP(type=0) / Raw(bytes(16))),
    bytes(GRE() / INNER / ICMP(type=0) / Raw(bytes(16))),
    bytes(KEYED / INNER6 / ICMPv6EchoReply(data=bytes(16))),
    probe("127.0.0.1", socket.AF_INET),
    probe("::1", socket.AF_INET6),
]
OTHERS = [
    bytes(GRE() / INNER / TCP()),
    bytes(KEYED / INNER / TCP() / Raw(bytes(1_000))),
    bytes(KEYED / INNER6 / TCP()),
    bytes(KEYED / INNER / ICMP(type=8) / Raw(bytes(56))),
    bytes(KEYED / INNER6 / ICMPv6EchoRequest(data=bytes(56))),
    bytes(GRE(seqnum_present=1, proto=0x88BE) / Raw(bytes(8)) / ETHERNET / INNER / TCP()),  # ERSPAN
    bytes(GRE(proto=0)),  # a keepalive
]


def test_taps_receive_answers_and_no_packets_of_other_tunnels(lab: Lab) -> None:
    """For both families, with packets of other tunnels before, between and after the answers."""
    sent = [*OTHERS, *ANSWERS, *OTHERS]
    words = [message.hex() for message in sent]
    done = lab.run("den01", [sys.executable, str(Path(hear_gre.__file__)), *words])
    assert done.returncode == 0, done.stderr
    heard = [json.loads(line) for line in done.stdout.splitlines()]
    assert heard == [[message.hex() for message in ANSWERS]] * 2
