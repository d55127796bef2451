"""The names and addresses at which this coordinator is reached."""

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress

from colotrace_proto.hostnames import as_ascii, is_host_name
from colotrace_proto.identifiers import address_of

from .errors import SetupError

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""In every certificate, for clients on the coordinator's host."""
_FAR_AWAY = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_ANY_PORT = 9
NAME_WITHIN_S = 3.0
"""How long the name servers may take; without one they can take half a minute."""


def checked_name(text: str) -> str:
    """A host name in its DNS form, or an IP address in its usual one.

    Raises:
        SetupError: it is neither.
    """
    text = text.strip().strip("[]")
    if address := address_of(text):
        return str(address)
    name = as_ascii(text)
    if not is_host_name(name):
        raise SetupError(
            f"--name {text}: is neither a host name nor an IP address; write it as in "
            "trace.example.net or 192.0.2.10, without a port"
        )
    return name.lower()


def _full_name() -> str:
    """The host's full name; the short one if the name servers do not answer in time."""
    found: list[str] = []
    # It cannot be interrupted, so it is left behind in a thread.
    asking = threading.Thread(
        target=lambda: found.append(socket.getfqdn()), name="own name", daemon=True
    )
    asking.start()
    asking.join(NAME_WITHIN_S)
    return found[0] if found else socket.gethostname()


def own_names() -> tuple[str, ...]:
    """The host's name and its addresses towards other networks."""
    name = as_ascii(_full_name()).lower()
    names = [name] if is_host_name(name) and not address_of(name) else []
    for family, address in _FAR_AWAY.items():
        # Connecting a datagram socket sends nothing: the kernel only chooses the source address.
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _ANY_PORT))
            names.append(str(probe.getsockname()[0]))
    return tuple(dict.fromkeys(names)) or LOCAL_NAMES


def named_or_own(given: Iterable[str]) -> tuple[str, ...]:
    """The names and addresses of `--name`, each once; this host's if there are none.

    Raises:
        SetupError: one is malformed.
    """
    return tuple(dict.fromkeys(checked_name(each) for each in given)) or own_names()
