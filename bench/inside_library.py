"""Runs a tracing library as its users do: icmplib, scapy's `sr`, pycaracal.

    python inside_library.py LIBRARY --max-ttl N --per-ttl N (--target T | --targets-file FILE)

Prints one line of JSON: the time of the call and the number of answered probes. One target is
traced twice and the second time counts, so that imports and first use do not. For a file of
targets, the caller measures the whole process.
"""

import argparse
import contextlib
import ipaddress
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_WAIT_S = 1
# More than it can send, so that this is not the limit.
_CARACAL_RATE = 1_000_000

Trace = Callable[[list[str], argparse.Namespace], int]


def icmplib(targets: list[str], asked: argparse.Namespace) -> int:
    """One probe after the other, one target after the other."""
    from icmplib import traceroute

    answered = 0
    for target in targets:
        hops = traceroute(
            target, count=asked.per_ttl, interval=0, timeout=_WAIT_S, max_hops=asked.max_ttl
        )
        answered += sum(hop.packets_received for hop in hops)
    return answered


def sr(targets: list[str], asked: argparse.Namespace) -> int:
    """One list with all probes of all targets."""
    from scapy.layers.inet import ICMP, IP
    from scapy.sendrecv import sr as send_and_receive

    numbers = iter(range(1 << 32))
    probes = []
    for target in targets:
        for ttl in range(1, asked.max_ttl + 1):
            for _ in range(asked.per_ttl):
                number = next(numbers)
                echo = ICMP(id=number >> 16 & 0xFFFF, seq=number & 0xFFFF)
                probes.append(IP(dst=target, ttl=ttl, id=number & 0xFFFF) / echo)
    answered, _ = send_and_receive(probes, timeout=_WAIT_S, verbose=0)
    return len(answered)


def pycaracal(targets: list[str], asked: argparse.Namespace) -> int:
    """Stateless: it sends all probes, and then always listens for one more second."""
    from pycaracal import Probe, log_to_stderr, prober

    def probes() -> Iterator[Probe]:
        for target in targets:
            mapped = f"::ffff:{target}"
            for number in range(asked.per_ttl):
                for ttl in range(1, asked.max_ttl + 1):
                    # Another source port, since pycaracal does not distinguish equal probes.
                    yield Probe(mapped, 24_000 + number, 33_434, ttl, "icmp", 0, 0)

    log_to_stderr()
    with tempfile.TemporaryDirectory() as directory:
        replies = asked.out or f"{directory}/replies.csv"
        config = prober.Config()
        config.set_interface(_device(targets[0]))
        config.set_output_file_csv(replies)
        config.set_probing_rate(_CARACAL_RATE)
        config.set_sniffer_wait_time(_WAIT_S)
        prober.probe(config, probes())
        return max(Path(replies).read_bytes().count(b"\n") - 1, 0)


def _device(target: str) -> str:
    """The interface of the route to a target, by /proc/net/route (little-endian words)."""
    address = int.from_bytes(ipaddress.IPv4Address(target).packed, "little")
    best = ("", -1)
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        device, to, _, _, _, _, _, mask, *_ = line.split()
        length = int(mask, 16).bit_count()
        if address & int(mask, 16) == int(to, 16) and length > best[1]:
            best = (device, length)
    return best[0]


LIBRARIES: dict[str, Trace] = {"icmplib": icmplib, "sr": sr, "pycaracal": pycaracal}


def main() -> None:
    """Trace and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--target")
    parser.add_argument("--targets-file", type=Path)
    parser.add_argument("--max-ttl", type=int, required=True)
    parser.add_argument("--per-ttl", type=int, required=True)
    parser.add_argument("--out", help="where pycaracal writes its replies")
    asked = parser.parse_args()
    trace = LIBRARIES[asked.library]
    if asked.targets_file:
        targets = asked.targets_file.read_text().split()
    else:
        targets = [asked.target]
        with contextlib.redirect_stdout(sys.stderr):
            # icmplib is slow, so it warms up on the loopback address.
            trace(["127.0.0.1"] if trace is icmplib else targets, asked)
    cpu, began = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        answered = trace(targets, asked)
    told = {
        "wall_ms": (time.perf_counter() - began) * 1e3,
        "cpu_ms": (time.process_time() - cpu) * 1e3,
        "answered": answered,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
