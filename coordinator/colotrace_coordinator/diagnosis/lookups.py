"""The resolver of hops' names, and the file of ASNs."""

import time
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.resolver
from colotrace_proto.findings import Finding, fail, ok, warn

from colotrace_coordinator.enrich.asn import described
from colotrace_coordinator.enrich.servers import parse_resolver
from colotrace_coordinator.errors import CoordinatorError

_ASKED = "1.0.0.127.in-addr.arpa"
"""Any answer will do, also that there is no such name."""
_ANSWER_S = 2.0
_SLOW_S = 0.5
_DAY_S = 86_400.0
_OLD_DAYS = 90.0


def resolvers(given: str | None) -> list[Finding]:
    """Ask each name server."""
    try:
        if given is not None:
            servers = [parse_resolver(given)]
        else:
            servers = [(str(each), 53) for each in dns.resolver.Resolver().nameservers]
    except (CoordinatorError, dns.resolver.NoResolverConfiguration, OSError) as error:
        return [judge_resolver("none", str(error))]
    return [judge_resolver(host, _ask(host, port)) for host, port in servers]


def judge_resolver(server: str, answer: "float | str") -> Finding:
    """`answer`: the seconds that it took, or why there was none."""
    check = f"resolver {server}"
    remedy = "correct --resolver or /etc/resolv.conf; without names, answers have addresses alone"
    if isinstance(answer, str):
        return warn(check, f"does not answer: {answer}", remedy)
    if answer > _SLOW_S:
        return warn(check, f"answers in {answer * 1e3:.0f} ms: names come late", remedy)
    return ok(check, f"answers in {answer * 1e3:.0f} ms")


def asn_file(path: Path) -> list[Finding]:
    """Whether the file can be used, and how old it is."""
    try:
        built_at, damage = described(path)
    except CoordinatorError as error:
        return [fail("ASN file", str(error), "download it again; give the file by --asn-db")]
    return [judge_asn_file(str(path), built_at=built_at, damage=damage, now=time.time())]


def judge_asn_file(where: str, *, built_at: int, damage: str, now: float) -> Finding:
    """Judge the file by its age and damage."""
    check = "ASN file"
    if damage:
        return warn(check, f"{where} is damaged: {damage}", "download it again")
    days = (now - built_at) / _DAY_S
    if days > _OLD_DAYS:
        return warn(check, f"{where} is {days:.0f} days old", "download a new one")
    return ok(check, f"{where}, {max(days, 0):.0f} days old")


def _ask(host: str, port: int) -> "float | str":
    began = time.monotonic()
    try:
        dns.query.udp(dns.message.make_query(_ASKED, "PTR"), host, port=port, timeout=_ANSWER_S)
    except dns.exception.Timeout:
        return f"no answer within {_ANSWER_S:g} s"
    except (OSError, ValueError, dns.exception.DNSException) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    return time.monotonic() - began
