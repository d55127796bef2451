"""Facts about the machine and the versions measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.peers import Peer
from bench.peers import version as version_of

_LIBRARIES = ("grpcio", "protobuf", "numpy", "scapy", "uvicorn", "uvloop", "starlette")


def facts(peers: Iterable[Peer]) -> dict[str, Any]:
    """Facts for results.json and the report's head."""
    return {
        "taken": now(),
        "commit": commit(),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": load(),
        "rmem_max": int(Path("/proc/sys/net/core/rmem_max").read_text()),
        "python": platform.python_version(),
        "colotrace": version("colotrace"),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "peers": {peer.package: version_of(peer) for peer in peers},
        "commands": {peer.label: peer.shown for peer in peers},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load() -> str:
    """Load average of the last minute; above one, other programs run, too."""
    return f"{os.getloadavg()[0]:.1f}"


def commit() -> str:
    """The checkout's commit, with a plus if it has changes; "" if git does not know it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()
