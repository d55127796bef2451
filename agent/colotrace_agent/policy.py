"""Which addresses this agent traces: its owner's word, whoever asks."""

import ipaddress
from collections.abc import Container, Sequence
from typing import NamedTuple

from colotrace_proto.addresses import is_one_host, is_public
from colotrace_proto.messages import Failure
from colotrace_proto.notices import Notice, NoticeCode

from .model import family_of
from .network.delivery import kinds

_DELIVERED = {"own": NoticeCode.OWN_ADDRESS, "link": NoticeCode.LINK_BROADCAST}


class Barred(NamedTuple):
    """Why no address of a target is traced; `address` is one that may be shown, or b""."""

    failure: Failure
    cause: Notice
    address: bytes


def candidates(
    target: str, addresses: Sequence[bytes], *, families: Container[int], allow_private: bool
) -> list[bytes] | Barred:
    """The addresses of a target that may be tried, in their order; or why there is none.

    The addresses of a forbidden name are not shown: callers would learn of the host's network what
    only its resolver knows.
    """
    literal = _is_address(target)
    name = "" if literal else target
    causes = refusals(addresses, allow_private=allow_private, name=name)
    allowed = [address for address, no in zip(addresses, causes, strict=True) if no is None]
    usable = [address for address in allowed if family_of(address) in families]
    if usable:
        return usable
    if allowed:
        found = tuple(sorted({family_of(address) for address in allowed}))
        cause = Notice(NoticeCode.UNSENDABLE_FAMILIES, name=target, families=found)
        return Barred(Failure.NO_FAMILY, cause, allowed[0])
    cause = next(no for no in causes if no is not None)
    return Barred(Failure.POLICY, cause, addresses[0] if literal else b"")


def refusals(
    addresses: Sequence[bytes], *, allow_private: bool, name: str = ""
) -> list[Notice | None]:
    """For each address why it is not traced, None if it is."""
    found = [refusal(each, allow_private=allow_private, name=name) for each in addresses]
    if allow_private:
        return found
    open_ = [place for place, no in enumerate(found) if no is None]
    for place, no in zip(
        open_, host_refusals([addresses[place] for place in open_], name=name), strict=True
    ):
        found[place] = no
    return found


def host_refusals(addresses: Sequence[bytes], *, name: str = "") -> list[Notice | None]:
    """For each address why it is not traced if only public ones are, None if it is: the kernel
    delivers it to this host, or to all hosts of a link."""
    return [
        None if kind is None else _refused(_DELIVERED[kind], address, name)
        for address, kind in zip(addresses, kinds(addresses), strict=True)
    ]


def refusal(address: bytes, *, allow_private: bool, name: str = "") -> Notice | None:
    """Why no agent traces that address, whatever its host; None if agents do. `name` is shown
    instead of the address.

    Multicast, unspecified and broadcast addresses are never traced; what is not reachable
    through the public internet (RFC 6890) only if the owner allows it.
    """
    ip = ipaddress.ip_address(address)
    if not is_one_host(ip):
        return _refused(NoticeCode.NOT_ONE_HOST, address, name)
    if not allow_private and not is_public(ip):
        return _refused(NoticeCode.NOT_PUBLIC, address, name)
    return None


def _refused(code: NoticeCode, address: bytes, name: str) -> Notice:
    return Notice(code, name=name) if name else Notice(code, addresses=(address,))


def _is_address(target: str) -> bool:
    try:
        ipaddress.ip_address(target)
    except ValueError:
        return False
    return True
