"""Each probe's bytes before anything is filled in, built by scapy once and kept.

scapy is loaded by a program of its own, which ends when it has printed the templates: its time and
its memory, more than all else that an agent needs, are not the agent's.
"""

import functools
import subprocess
import sys

from colotrace_proto.messages import Family, PacketType

IPV4_HEADER = 20
IPV6_HEADER = 40

_BUILD_S = 60


@functools.cache
def template(packet_type: PacketType, family: Family) -> bytes:
    """A whole packet with addresses, ports, numbers and checksums zero.

    Raises:
        ValueError: probes of that packet type are not built here.
        RuntimeError: scapy could not be run.
    """
    built = _built().get((packet_type, family))
    if built is None:
        raise ValueError(f"no probes of type {packet_type}")
    return built


def begin_building() -> None:
    """Has the templates built meanwhile: whoever asks for one waits for what is left of that."""
    _builder()


def build_all() -> None:
    """Has every template built, so that no trace has to wait for it."""
    _built()


@functools.cache
def _builder() -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "colotrace_agent.packets.scapy_templates"]
    return subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


@functools.cache
def _built() -> dict[tuple[PacketType, Family], bytes]:
    printed, _ = _builder().communicate(timeout=_BUILD_S)
    if _builder().returncode:
        raise RuntimeError("scapy could not build the probes: what it said is above")
    found = {}
    for line in printed.splitlines():
        packet_type, family, packet = line.split()
        found[PacketType(packet_type), Family(int(family))] = bytes.fromhex(packet)
    return found
