"""Whether a string can name a target at all; whether it may be traced is `policy`'s to say."""

import ipaddress

from colotrace_proto.hostnames import HostNameError, IdnaRuleError, to_ascii

MAX_TARGET = 255


def fault(target: str) -> str | None:
    """What keeps the string from naming a target, in words; None where nothing does."""
    if not target:
        return "is empty"
    if len(target) > MAX_TARGET:
        return f"is longer than {MAX_TARGET} characters"
    if "%" in target:
        return "has a zone id, which means nothing at another host"
    try:
        ipaddress.ip_address(target)
    except ValueError:
        pass
    else:
        return None
    try:
        to_ascii(target)
    except IdnaRuleError:
        return None  # the request's other targets are traced; `policy` refuses this one
    except HostNameError as error:
        return f"is not a hostname, an IPv4 or an IPv6 address: {error}"
    return None
