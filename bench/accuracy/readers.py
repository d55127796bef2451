"""Parsers of the other tools' output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bench.accuracy.join import Reported

_PING = re.compile(r"icmp_seq=(\d+) .*time=([0-9.]+) ms")
_TRACEROUTE = re.compile(r"^ *(\d+) +(.*)$", re.MULTILINE)
_VALUE = re.compile(r"([0-9.]+) ms|\*(?=\s|$)")
_MTR = re.compile(r"^p \d+ (\d+) (\d+)$", re.MULTILINE)


def ping(text: str) -> Iterator[Reported]:
    """Keyed by sequence number."""
    for number, rtt_ms in _PING.findall(text):
        yield Reported(int(number), float(rtt_ms) * 1e3)


def traceroute(text: str) -> Iterator[Reported]:
    """Keyed by TTL and position in its line."""
    for ttl, line in _TRACEROUTE.findall(text):
        for nth, value in enumerate(_VALUE.finditer(line)):
            if value[1]:
                yield Reported((int(ttl), nth), float(value[1]) * 1e3)


def mtr(text: str) -> Iterator[Reported]:
    """`--raw`, keyed by sequence number."""
    for rtt_us, number in _MTR.findall(text):
        yield Reported(int(number), float(rtt_us))


def scamper(text: str) -> Iterator[Reported]:
    """JSON, keyed by TTL and attempt."""
    for line in text.splitlines():
        told: dict[str, Any] = json.loads(line)
        for hop in told.get("hops", ()):
            yield Reported((hop["probe_ttl"], hop["probe_id"] - 1), hop["rtt"] * 1e3)
