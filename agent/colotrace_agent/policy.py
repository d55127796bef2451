"""Which addresses this agent traces: public ones, and others if the host's owner allows them.

The one home of that rule, and of the rule that the host needs an address of the target's family.
Jobs are judged at admission (addresses) and after the look-up (names), bulk runs many at once.
"""

import ipaddress
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from colotrace_proto.addresses import is_one_host, is_public
from colotrace_proto.identifiers import address_of
from colotrace_proto.messages import Failure, Family
from colotrace_proto.notices import Notice, NoticeCode

from .model import family_of
from .network.delivery import kinds

PLAIN = frozenset(range(1, 224))
"""First bytes of IPv4 addresses that are allowed with --allow-private, whatever the others are."""
PLAIN_IF_PUBLIC = PLAIN - {10, 100, 127, 169, 172, 192, 198, 203}
"""The same without --allow-private, apart from this host's own addresses. Most targets have them,
and looking closer takes longer than all else that is done for a target of a bulk run."""

_IPV4_WIDTH = 4
_DELIVERED = {"own": NoticeCode.OWN_ADDRESS, "link": NoticeCode.LINK_BROADCAST}


class Barred(NamedTuple):
    """Why no address of a target is traced; `address` is one that may be shown, or b""."""

    failure: Failure
    cause: Notice
    address: bytes


class Policy:
    """`families` returns those that the host can send now."""

    def __init__(self, *, allow_private: bool, families: Callable[[], Container[Family]]) -> None:
        self._allow_private = allow_private
        self._families = families
        self._plain = PLAIN if allow_private else PLAIN_IF_PUBLIC

    def judge(self, target: str, addresses: Sequence[bytes]) -> list[bytes] | Barred:
        """The addresses of a target that may be traced, in their order; or why there is none.

        `target` is a name, or the address itself. The addresses of a forbidden name are not shown:
        callers would learn of the host's network what only its resolver knows.
        """
        if address_of(target) is not None:
            return self.judge_all(addresses)[0] or list(addresses)
        causes = self._refusals(addresses, name=target)
        allowed = [address for address, no in zip(addresses, causes, strict=True) if no is None]
        families = self._families()
        usable = [address for address in allowed if family_of(address) in families]
        if usable:
            return usable
        if allowed:
            found = tuple(sorted({family_of(address) for address in allowed}))
            cause = Notice(NoticeCode.UNSENDABLE_FAMILIES, name=target, families=found)
            return Barred(Failure.NO_FAMILY, cause, allowed[0])
        return Barred(Failure.POLICY, next(no for no in causes if no is not None), b"")

    def judge_all(self, addresses: Sequence[bytes]) -> list[Barred | None]:
        """For each address that is a target of its own why it is not traced; None if it is."""
        families = self._families()
        barred: list[Barred | None] = []
        for address, cause in zip(addresses, self._refusals(addresses), strict=True):
            if cause is not None:
                barred.append(Barred(Failure.POLICY, cause, address))
            elif (family := family_of(address)) in families:
                barred.append(None)
            else:
                cause = Notice(NoticeCode.NO_FAMILY, families=(family,))
                barred.append(Barred(Failure.NO_FAMILY, cause, address))
        return barred

    def _refusals(self, addresses: Sequence[bytes], *, name: str = "") -> list[Notice | None]:
        """For each address why it is not traced, None if it is. Without --allow-private, an address
        is not traced either if the kernel delivers it to this host, or to all hosts of a link."""
        found = [
            None
            if len(address) == _IPV4_WIDTH and address[0] in self._plain
            else refusal(address, allow_private=self._allow_private, name=name)
            for address in addresses
        ]
        if self._allow_private:
            return found
        open_ = [place for place, no in enumerate(found) if no is None]
        for place, kind in zip(open_, kinds([addresses[place] for place in open_]), strict=True):
            if kind is not None:
                found[place] = _refused(_DELIVERED[kind], addresses[place], name)
        return found


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
