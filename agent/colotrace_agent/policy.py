"""Which addresses this agent traces: its owner's word, whoever asks."""

import ipaddress
from collections.abc import Container, Sequence
from typing import NamedTuple

from colotrace_proto.addresses import is_one_host, is_public
from colotrace_proto.messages import Failure

from .model import family_of
from .network.delivery import kinds

_NOT_ALLOWED = "and this agent runs without --allow-private"


class Barred(NamedTuple):
    """Why no address of a target is traced; `address` is one that may be shown, or b""."""

    failure: Failure
    words: str
    address: bytes


def candidates(
    target: str, addresses: Sequence[bytes], *, families: Container[int], allow_private: bool
) -> list[bytes] | Barred:
    """The addresses of a target that may be tried, in their order; or why there is none.

    What a name resolves to is not told where it may not be traced: callers would learn of the
    host's network what only its resolver knows.
    """
    literal = _is_address(target)
    shown = None if literal else f"what {target} resolves to"
    words = refusals(addresses, allow_private=allow_private, shown=shown)
    allowed = [address for address, no in zip(addresses, words, strict=True) if no is None]
    usable = [address for address in allowed if family_of(address) in families]
    if usable:
        return usable
    if allowed:
        found = " and ".join(sorted({f"IPv{family_of(address)}" for address in allowed}))
        detail = f"{target} has only {found} addresses, which the agent cannot send"
        return Barred(Failure.NO_FAMILY, detail, allowed[0])
    return Barred(Failure.POLICY, words[0] or "", addresses[0] if literal else b"")


def refusals(
    addresses: Sequence[bytes], *, allow_private: bool, shown: str | None = None
) -> list[str | None]:
    """For each address why it is not traced, None where it is."""
    words = [refusal(each, allow_private=allow_private, shown=shown) for each in addresses]
    if allow_private:
        return words
    open_ = [place for place, no in enumerate(words) if no is None]
    for place, no in zip(
        open_, host_refusals([addresses[place] for place in open_], shown=shown), strict=True
    ):
        words[place] = no
    return words


def host_refusals(addresses: Sequence[bytes], *, shown: str | None = None) -> list[str | None]:
    """For each address why it is not traced where only public ones are, by what the kernel
    delivers to this host itself or to all hosts of a link; None where it is traced."""
    words: list[str | None] = []
    for address, kind in zip(addresses, kinds(addresses), strict=True):
        if kind is None:
            words.append(None)
            continue
        name = shown or str(ipaddress.ip_address(address))
        if kind == "own":
            words.append(f"{name} is an address of the agent's own host, {_NOT_ALLOWED}")
        else:
            words.append(f"{name} is not the address of one host, but of all on a link")
    return words


def refusal(address: bytes, *, allow_private: bool, shown: str | None = None) -> str | None:
    """Why no agent traces that address, whatever its host; None where they do. `shown` stands for
    the address in the words.

    Multicast, unspecified and broadcast addresses are never traced; what is not reachable
    through the public internet (RFC 6890) only where the owner allows it.
    """
    ip = ipaddress.ip_address(address)
    if not is_one_host(ip):
        return f"{shown or ip} is not the address of one host"
    if not allow_private and not is_public(ip):
        return f"{shown or ip} is not a public address, {_NOT_ALLOWED}"
    return None


def _is_address(target: str) -> bool:
    try:
        ipaddress.ip_address(target)
    except ValueError:
        return False
    return True
