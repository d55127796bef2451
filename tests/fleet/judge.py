"""What is wrong with a colo's row, held against the lab's own knowledge of its network."""

from __future__ import annotations

from typing import Any

from lab import Family, Lab

NO_RESPONSE = {"asn": "", "ip": "", "name": "NO RESPONSE", "packet_count": 0}


def row_faults(
    lab: Lab, row: dict[str, Any], *, target: str, family: Family = 4, packets: int = 3
) -> list[str]:
    """Every way in which a row to a target that answers is not the truth."""
    truth = lab.path(row["colo"]["name"], target, family=family)
    city = next(colo.city for colo in lab.colos if colo.name == row["colo"]["name"])
    faults = []
    if row["colo"]["city"] != city or row["error"]:
        faults.append(f"colo {row['colo']}, error {row['error']!r}")
    ttls = [hop["packets_ttl"] for hop in row["hops"]]
    if ttls != list(range(1, len(truth) + 1)):
        return [*faults, f"TTLs are {ttls}, should be 1 to {len(truth)}"]
    for hop, true in zip(row["hops"], truth, strict=True):
        if hop["packets_sent"] != packets:
            faults.append(f"TTL {true.ttl}: {hop['packets_sent']} sent")
        if true.silent:
            if hop["nodes"] != [NO_RESPONSE] or hop["packets_lost"] != packets:
                faults.append(f"TTL {true.ttl} should be silent: {hop}")
            continue
        if hop["packets_lost"]:
            faults.append(f"TTL {true.ttl}: {hop['packets_lost']} lost")
        if len(hop["nodes"]) != 1:  # one flow goes one way, whatever is balanced
            faults.append(f"TTL {true.ttl}: {len(hop['nodes'])} nodes")
        for node in hop["nodes"]:
            if node["ip"] not in true.addresses:
                faults.append(f"TTL {true.ttl}: {node['ip']} is none of {set(true.addresses)}")
            faults.extend(_node_faults(lab, node, "rtt"))
    summary = row["target_summary"]
    if summary["packet_count"] != packets or summary["ip"] not in truth[-1].addresses:
        faults.append(f"target summary: {summary}")
    faults.extend(_node_faults(lab, summary, "rtt"))
    faults.extend(_node_faults(lab, summary, "latency"))
    if not isinstance(row["traceroute_time_ms"], int):
        faults.append("traceroute_time_ms is not an integer")
    return faults


def _node_faults(lab: Lab, node: dict[str, Any], kind: str) -> list[str]:
    ip = node["ip"]
    asn = lab.asn_of(ip)
    faults = []
    if node["asn"] != (f"AS{asn}" if asn else "*"):
        faults.append(f"{ip}: {node['asn']}, should be {asn}")
    if node["name"] != (lab.name_of(ip) or ip):
        faults.append(f"{ip}: name {node['name']}, should be {lab.name_of(ip)}")
    low, mean, high, deviation = (
        node[f"{word}_{kind}_ms"] for word in ("min", "mean", "max", "std_dev")
    )
    if not 0 < low <= mean <= high < 1_000 or not 0 <= deviation <= high:
        faults.append(f"{ip}: times {low} {mean} {high} {deviation}")
    return faults
