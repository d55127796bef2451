"""Checks whether packets can be sent and received: capability, sockets, families, time stamps."""

import ipaddress
import os

from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.messages import Family

from colotrace_agent.network.addresses import working_families
from colotrace_agent.network.delivery import DOCUMENTATION_ADDRESS
from colotrace_agent.network.route import source_for
from colotrace_agent.network.sockets import HOW_TO_ALLOW, WHY_REFUSED, open_all
from colotrace_agent.network.support import kernel_takes_numbers


def findings(*, refusal: str) -> list[Finding]:
    """All findings; `refusal` is the reason why the process may not send raw packets, or empty."""
    rights = (
        fail("rights", refusal, "give it CAP_NET_RAW in one of these ways")
        if refusal
        else ok("rights", "CAP_NET_RAW, which is all it needs")
    )
    return [rights, _raw_sockets(refusal=refusal), *_families(), _stamps()]


def _raw_sockets(*, refusal: str) -> Finding:
    check = "raw sockets"
    try:
        opened = open_all()
    except PermissionError:
        if refusal:
            return fail(check, "cannot be opened without CAP_NET_RAW", "give it CAP_NET_RAW")
        return fail(check, f"cannot be opened, {WHY_REFUSED}", HOW_TO_ALLOW)
    except OSError as error:
        detail = f"cannot be opened: {os.strerror(error.errno or 0)}"
        return fail(check, detail, "raise its limit on open files (ulimit -n)")
    families = sorted(family.value for family in opened.senders)
    opened.close()
    if not families:
        return fail(check, "the kernel supports neither family", "boot a kernel with IPv4")
    return ok(check, " and ".join(f"IPv{family}" for family in families))


def _families() -> list[Finding]:
    working = working_families()
    sources = {family: _source(family, working) for family in Family}
    found = []
    for family, source in sources.items():
        check = f"IPv{family.value}"
        if isinstance(source, bytes):
            found.append(ok(check, f"source address {ipaddress.ip_address(source)}"))
            continue
        remedy = f"configure {check} on the host, if you want to trace {check} targets from it"
        others = any(isinstance(each, bytes) for each in sources.values())
        found.append((warn if others else fail)(check, source, remedy))
    return found


def _source(family: Family, working: frozenset[Family]) -> bytes | str:
    """The source address for targets on the internet, or why there is none."""
    if family not in working:
        return "no global address: such targets get Code 3"
    try:
        return source_for(DOCUMENTATION_ADDRESS[family])
    except OSError as error:
        return f"no default route ({os.strerror(error.errno or 0)}): such targets get Code 4"


def _stamps() -> Finding:
    if kernel_takes_numbers():
        return ok("stamps of departure", "by the kernel, with the probe's number")
    return ok("stamps of departure", "by the kernel, counted in order (before Linux 6.13)")
