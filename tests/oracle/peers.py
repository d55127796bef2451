"""How `traceroute`, `mtr` and `scamper` are called on the lab, and what they print, as paths.

A path is a list with one entry a TTL, from 1: the addresses that answered there, none where it
stayed silent. Nothing is left out at either end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab import Lab
from lab.truth import addresses_among

Path = list[frozenset[str]]

MAX_TTL = 20
SCAMPER_GAP = 3
"""Silent hops in a row after which scamper gives up."""
# Below those that Linux gives out: scamper by itself takes one of those, which another peer's
# socket may have, and then says that it has seen nothing.
_SCAMPER_PORT = 31_000

_BIN_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Peer:
    """One program with the options of one probe type, and how to read it."""

    name: str
    argv: tuple[str, ...]
    read: Callable[[str, str], Path]

    def trace(self, lab: Lab, colo: str, address: str) -> Path:
        """The path from a colo to an address, as the program tells it."""
        argv = [word.replace("{target}", address) for word in self.argv]
        done = lab.run(colo, argv, timeout_s=_BIN_TIMEOUT_S)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return self.read(done.stdout, address)


@dataclass(frozen=True, slots=True)
class Method:
    """One way to probe, as the agent is told of it and as the peers are."""

    packet_type: str
    port: int
    peers: tuple[Peer, ...]


def agent_paths(
    lab: Lab, command: Sequence[str], colo: str, method: Method, addresses: Sequence[str]
) -> dict[str, Path]:
    """The agent's own paths to several addresses, from one process."""
    argv = [
        *command, "trace", "--json", "--no-names", "--allow-private",
        "--packet-type", method.packet_type, "--port", str(method.port),
        "--max-ttl", str(MAX_TTL), *addresses,
    ]  # fmt: skip
    done = lab.run_forked(colo, argv, timeout_s=_BIN_TIMEOUT_S)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    paths: dict[str, Path] = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        (told,) = row["colos"]
        assert told["error"] == "", row
        hops = told["hops"]
        assert [hop["packets_ttl"] for hop in hops] == list(range(1, len(hops) + 1)), row
        paths[row["target"]] = [
            frozenset(node["ip"] for node in hop["nodes"] if node["ip"]) for hop in hops
        ]
    assert sorted(paths) == sorted(addresses)
    return paths


def _by_ttl(hops: list[tuple[int, set[str]]]) -> Path:
    assert [ttl for ttl, _ in hops] == list(range(1, len(hops) + 1)), hops
    return [frozenset(found) for _, found in hops]


def _read_traceroute(out: str, address: str) -> Path:
    lines = [line.split() for line in out.splitlines()[1:]]
    return _by_ttl([(int(words[0]), addresses_among(words[1:])) for words in lines])


def _read_mtr(out: str, address: str) -> Path:
    hubs = json.loads(out)["report"]["hubs"]
    return _by_ttl([(hub["count"], {hub["host"]} - {"???"}) for hub in hubs])


def _read_scamper(out: str, address: str) -> Path:
    (trace,) = (said for line in out.splitlines() if (said := json.loads(line))["type"] == "trace")
    assert trace["dst"] == address
    assert trace["stop_reason"] != "ERROR", trace
    hops: list[tuple[int, set[str]]] = [(ttl, set()) for ttl in range(1, trace["hop_count"] + 1)]
    for reply in trace.get("hops", []):
        hops[reply["probe_ttl"] - 1][1].add(reply["addr"])
    return _by_ttl(hops)


def traceroute(*options: str) -> Peer:
    """Debian's traceroute. It does not give up early by RTTs seen (`,0,0`): on a busy machine
    that would invent losses."""
    common = ("-n", "-w", "1,0,0", "-m", str(MAX_TTL), "-N", "64")
    argv = ("traceroute", *common, *options, "{target}")
    return Peer("traceroute", argv, _read_traceroute)


def mtr(*options: str) -> Peer:
    """mtr's report, a cycle each tenth of a second."""
    common = ("--json", "-n", "-c", "3", "-i", "0.1", "-G", "1", "-Z", "1", "-m", str(MAX_TTL))
    return Peer("mtr", ("mtr", *common, *options, "{target}"), _read_mtr)


def scamper(method: str) -> Peer:
    """Scamper's JSON. One hop at a time (no -N): else it tells of probes beyond the target too."""
    port = "" if method.startswith("icmp") else f" -s {_SCAMPER_PORT}"
    trace = f"trace -P {method}{port} -q 1 -w 1 -m {MAX_TTL} -g {SCAMPER_GAP}"
    argv = ("scamper", "-p", "1000", "-O", "json", "-c", trace, "-i", "{target}")
    return Peer("scamper", argv, _read_scamper)
