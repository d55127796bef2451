"""Checks nftables rules that affect probes and their answers.

Each rule is judged by itself, without the effect of earlier rules.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colotrace_proto.findings import Finding, ok, warn

from colotrace_agent.model import PORTS

from .ruleset import Ruleset

_TRANSLATIONS = {"masquerade", "snat", "dnat", "redirect"}
_SPAN = f"{PORTS.start}-{PORTS.stop - 1}"

NOTRACK = (
    f"in a chain at priority raw: output `udp sport {_SPAN} notrack`, `tcp sport {_SPAN} notrack`, "
    f"prerouting `tcp dport {_SPAN} notrack`"
)
_ACCEPT = (
    "before that rule, accept ICMP and ICMPv6 errors and echo replies, and TCP to ports "
    f"{_SPAN}: answers to untracked or forgotten probes are invalid"
)


def findings(ruleset: Ruleset, *, proc: Path) -> list[Finding]:
    """Whether probes are tracked, and whether rules would drop their answers."""
    return [_tracking(ruleset, proc=proc), _invalid(ruleset)]


def _tracking(ruleset: Ruleset, *, proc: Path) -> Finding:
    check = "connection tracking"
    try:
        count, most = (
            int((proc / f"sys/net/netfilter/nf_conntrack_{word}").read_text())
            for word in ("count", "max")
        )
    except (OSError, ValueError):
        return ok(check, "not loaded: probes are not tracked")
    table = f"{count} of {most} entries taken"
    if count * 10 >= most * 9:
        return warn(
            check,
            f"its table is nearly full ({table}); a full table drops packets, which looks like "
            "loss",
            f"raise net.netfilter.nf_conntrack_max, and do not track probes: {NOTRACK}",
        )
    if ruleset.unread:
        return warn(
            check,
            f"loaded ({table}); could not look at the rules: {ruleset.unread}",
            f"{ruleset.remedy}, or check it by hand: {NOTRACK}",
        )
    if not _uses_tracking(ruleset):
        return ok(check, "loaded, but no nftables rule uses it here")
    missing = [protocol for protocol in ("udp", "tcp") if not _is_untracked(ruleset, protocol)]
    if not missing:
        return ok(check, f"in use, but not for the agent's ports {_SPAN}")
    tracked = " and ".join(map(str.upper, missing))
    return warn(
        check,
        f"{tracked} probes are tracked: each flow takes an entry ({table})",
        NOTRACK,
    )


def _invalid(ruleset: Ruleset) -> Finding:
    check = "rules that drop answers"
    if ruleset.unread:
        return warn(
            check,
            f"could not look: {ruleset.unread}",
            f"{ruleset.remedy}, or check it by hand: {_ACCEPT}",
        )
    dropping = [rule for rule in ruleset.rules if _drops_invalid(rule)]
    if not dropping:
        return ok(check, "no rule drops packets in state invalid")
    where = ", ".join(
        f"{rule.get('family')} {rule.get('table')} {rule.get('chain')}" for rule in dropping
    )
    return warn(check, f"`ct state invalid` is dropped in {where}", _ACCEPT)


def _uses_tracking(ruleset: Ruleset) -> bool:
    if any(chain.get("type") == "nat" for chain in ruleset.chains):
        return True
    return any(
        "ct" in word or not _TRANSLATIONS.isdisjoint(word)
        for rule in ruleset.rules
        for word in _objects(rule.get("expr", []))
    )


def _is_untracked(ruleset: Ruleset, protocol: str) -> bool:
    """Whether a rule of an output chain exempts every probe of that protocol."""
    outputs = {
        (chain.get("family"), chain.get("table"), chain.get("name"))
        for chain in ruleset.chains
        if chain.get("hook") == "output"
    }
    return any(
        (rule.get("family"), rule.get("table"), rule.get("chain")) in outputs
        and any("notrack" in expr for expr in rule.get("expr", []))
        and all(_takes_probes(expr["match"], protocol) for expr in _matches(rule))
        for rule in ruleset.rules
    )


def _takes_probes(match: dict[str, Any], protocol: str) -> bool:
    """Whether all probes of the protocol match."""
    left, right = match.get("left"), match.get("right")
    if match.get("op") not in ("==", "in") or not isinstance(left, dict):
        return False
    if left.get("meta", {}).get("key") == "l4proto":
        return protocol in _members(right)
    payload = left.get("payload", {})
    if payload.get("protocol") not in (protocol, "th") or payload.get("field") != "sport":
        return False
    spans = (member["range"] for member in _members(right) if isinstance(member, dict))
    return any(low <= PORTS.start and PORTS.stop - 1 <= high for low, high in spans)


def _drops_invalid(rule: dict[str, Any]) -> bool:
    exprs = rule.get("expr", [])
    for word in _objects(exprs):
        vmap = word.get("vmap")
        if isinstance(vmap, dict) and _is_ct_state(vmap.get("key")):
            for pair in _members(vmap.get("data")):
                if isinstance(pair, list) and pair[0] == "invalid" and _is_drop(pair[1]):
                    return True
    named = any(
        _is_ct_state(expr["match"].get("left")) and "invalid" in _members(expr["match"]["right"])
        for expr in _matches(rule)
        if expr["match"].get("op") in ("==", "in")
    )
    return named and any(_is_drop(expr) for expr in exprs)


def _is_ct_state(left: Any) -> bool:
    return isinstance(left, dict) and left.get("ct", {}).get("key") == "state"


def _is_drop(expr: Any) -> bool:
    return isinstance(expr, dict) and not {"drop", "reject"}.isdisjoint(expr)


def _matches(rule: dict[str, Any]) -> list[dict[str, Any]]:
    return [expr for expr in rule.get("expr", []) if "match" in expr]


def _members(right: Any) -> list[Any]:
    """The values of a set or a list; a single value as a list."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    return right if isinstance(right, list) else [right]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object inside, at any depth."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
