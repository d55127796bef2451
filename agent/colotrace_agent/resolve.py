"""Names to addresses and back, as the probe host itself is set up: hosts file, resolver, search.

c-ares does the asking (through aiodns): it reads what the C library would, and a question can be
given up without leaving a thread behind.
"""

import asyncio
import functools
import re
import socket
from typing import TYPE_CHECKING

from colotrace_proto.messages import Family

if TYPE_CHECKING:
    import aiodns

_LOOKUP_S = 5.0
_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class UnresolvableError(Exception):
    """The name has no address, or nobody could be asked."""


class Resolver:
    """Asks the system's name servers. To be made on the event loop it is used on."""

    @functools.cached_property
    def _dns(self) -> "aiodns.DNSResolver":
        import aiodns  # who traces addresses only does without it

        return aiodns.DNSResolver(timeout=_LOOKUP_S / 2, tries=2)

    async def addresses(self, target: str) -> list[bytes]:
        """The target's addresses, packed, the host's preferred one first.

        Raises:
            UnresolvableError: there is none, with the reason in words.
        """
        literal = parse_address(target)
        if literal is not None:
            return [literal]
        if parse_address(target.partition("%")[0]) is not None:
            raise UnresolvableError(f"{target} has a zone: link-local addresses are not traced")
        if not _HOSTNAME.fullmatch(_ascii(target)):
            raise UnresolvableError(f"{target} is neither an address nor a host name")
        from aiodns.error import DNSError

        try:
            found = await asyncio.wait_for(
                self._dns.getaddrinfo(_ascii(target), family=socket.AF_UNSPEC), _LOOKUP_S
            )
        except DNSError as error:
            reason = error.args[1] if len(error.args) > 1 else str(error)
            raise UnresolvableError(f"{target} does not resolve: {reason}") from None
        except TimeoutError:
            raise UnresolvableError(f"{target} does not resolve: no answer in time") from None
        addresses = [_packed(node.addr[0]) for node in found.nodes]
        unique = list(dict.fromkeys(address for address in addresses if address is not None))
        if not unique:
            raise UnresolvableError(f"{target} has no address")
        return unique

    async def name(self, address: bytes) -> str | None:
        """The address's name, where it has one that may be shown."""
        sockaddr: tuple[str, int] | tuple[str, int, int, int]
        if len(address) == 4:
            sockaddr = (socket.inet_ntop(socket.AF_INET, address), 0)
        else:
            sockaddr = (socket.inet_ntop(socket.AF_INET6, address), 0, 0, 0)
        from aiodns.error import DNSError

        try:
            found = await asyncio.wait_for(
                self._dns.getnameinfo(sockaddr, socket.NI_NAMEREQD), _LOOKUP_S
            )
        except (DNSError, TimeoutError):
            return None
        name = (found.node or "").rstrip(".")
        return name if len(name) <= 253 and _HOSTNAME.fullmatch(name) else None

    async def close(self) -> None:
        """Gives up what is being asked."""
        if "_dns" in self.__dict__:
            await self._dns.close()


def parse_address(text: str) -> bytes | None:
    """The packed address that the text is; None where it is something else."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
    return None


def _packed(text: str | bytes) -> bytes | None:
    return parse_address(text.decode() if isinstance(text, bytes) else text)


def _ascii(name: str) -> str:
    try:
        return name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        return ""
