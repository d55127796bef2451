"""Checks the syntax of a target. `policy` decides whether it may be traced."""

from colotrace_proto.hostnames import HostNameError, IdnaRuleError, to_ascii
from colotrace_proto.identifiers import address_of

MAX_TARGET = 255


def fault(target: str) -> str | None:
    """The reason why the string is not a target, to follow its name; None if it is one."""
    if not target:
        return "is empty"
    if len(target) > MAX_TARGET:
        return f"is longer than {MAX_TARGET} characters"
    if "%" in target:
        return "has a zone id, which means nothing at another host"
    if address_of(target) is not None:
        return None
    try:
        to_ascii(target)
    except IdnaRuleError:
        return None  # `policy` refuses this target alone; the others are traced
    except HostNameError as error:
        return f"is not a hostname, an IPv4 or an IPv6 address: {error}"
    return None
