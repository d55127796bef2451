"""Resolves names to addresses and back, with the host's own resolver (ADR 12).

It uses the C library's `getaddrinfo` and `getnameinfo`, so that results are the same as for other
programs of the host: hosts file, nsswitch.conf, search domains and ndots, the order of RFC 6724.
`colotrace_proto.hostnames` decides which texts are valid names.
"""

import socket
from ipaddress import ip_address

from colotrace_proto.hostnames import HostNameError, is_host_name, to_ascii
from colotrace_proto.messages import Family
from colotrace_proto.notices import Notice, NoticeCode, sentence

from colotrace_agent.errors import AgentError
from colotrace_agent.model import family_of

from .lookups import LookupQueueFullError, Lookups

JOBS_RATE = 500.0
"""Look-ups a second for jobs of coordinators."""
JOB_LOOKUP_S = 20.0
"""Timeout for jobs, which have at most 23.5 s. A search domain whose only server does not answer
takes 10 s before the C library tries the name itself."""
LOOKUP_S = 60.0
"""Timeout without a job."""
_NAME_S = 5.0
_MOST_ADDRESSES = 64

THREADS = 64
"""More threads are not faster, and a small local name server drops some of their packets."""

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_NO_ADDRESS = {socket.EAI_NODATA, socket.EAI_ADDRFAMILY}
_REASONS = {
    socket.EAI_NONAME: NoticeCode.NO_SUCH_NAME,
    socket.EAI_AGAIN: NoticeCode.NAME_SERVERS_FAILED,
    socket.EAI_FAIL: NoticeCode.NAME_SERVERS_REFUSED,
}


class UnresolvableError(AgentError):
    """A name has no address, or the resolver did not answer. `notice` says why."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(sentence(notice))
        self.notice = notice


class Resolver:
    """The host's resolver. Create it on the event loop where it is used.

    `within_s` is the timeout of a look-up. `threads` bounds concurrent look-ups, `rate` look-ups a
    second.
    """

    def __init__(
        self, *, within_s: float = LOOKUP_S, threads: int = THREADS, rate: float | None = None
    ) -> None:
        self._within_s = within_s
        self._by_name = Lookups(_addresses, threads=threads, name="resolver", rate=rate)
        # Separate threads, so that names of many hops do not delay targets.
        self._by_address = Lookups(_name, threads=threads, name="reverse resolver")

    async def addresses(self, target: str, *, family: Family | None = None) -> list[bytes]:
        """The target's addresses, packed, the host's preferred one first. With a family, those of
        the family; the others are not looked up.

        Raises:
            UnresolvableError: there is none, with the reason in words.
        """
        families = (family,) if family is not None else ()
        literal = parse_address(target)
        if literal is not None:
            if families and family_of(literal) not in families:
                raise UnresolvableError(
                    Notice(NoticeCode.OTHER_FAMILY, name=target, families=families)
                )
            return [literal]
        if parse_address(target.partition("%")[0]) is not None:
            raise UnresolvableError(Notice(NoticeCode.HAS_ZONE, name=target))
        try:
            name = to_ascii(target)
        except HostNameError as error:
            notice = Notice(NoticeCode.NO_HOST_NAME, name=target, reason=str(error))
            raise UnresolvableError(notice) from None
        none = NoticeCode.NO_ADDRESS_OF_FAMILY if families else NoticeCode.NO_ADDRESS
        code, reason = NoticeCode.UNRESOLVED, ""
        try:
            found = await self._by_name.ask((name, family), within_s=self._within_s)
        except TimeoutError:
            reason = f"the host's resolver gave no answer within {self._within_s:g} s"
        except LookupQueueFullError as error:
            reason = str(error)
        except socket.gaierror as error:
            code = none if error.errno in _NO_ADDRESS else _REASONS.get(error.errno or 0, code)
            reason = error.strerror or str(error)
        except OSError as error:  # EAI_SYSTEM, for example too many open files
            reason = error.strerror or str(error)
        else:
            if found:
                return found
            code = none
        raise UnresolvableError(Notice(code, name=target, reason=reason, families=families))

    async def name(self, address: bytes) -> str | None:
        """The name of the address; None if it has none, or none that is a valid host name."""
        try:
            return await self._by_address.ask(address, within_s=_NAME_S)
        except (OSError, TimeoutError, LookupQueueFullError):
            return None

    async def close(self) -> None:
        """Abandon running look-ups."""
        self._by_name.close()
        self._by_address.close()


def parse_address(text: str) -> bytes | None:
    """The packed address; None if the text is not an address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
    return None


# In a thread.


def _addresses(asked: tuple[str, Family | None]) -> list[bytes]:
    """The first addresses of an ASCII name, of one family or all."""
    name, family = asked
    # As bytes, because Python would encode a str with IDNA 2003 again.
    found = socket.getaddrinfo(
        name.encode("ascii"),
        None,
        family=_FAMILIES[family] if family is not None else socket.AF_UNSPEC,
        type=socket.SOCK_DGRAM,
    )
    packed = (parse_address(str(sockaddr[0])) for *_, sockaddr in found)
    unique = dict.fromkeys(address for address in packed if address is not None)
    return list(unique)[:_MOST_ADDRESSES]


def _name(address: bytes) -> str | None:
    try:
        name, _ = socket.getnameinfo((str(ip_address(address)), 0), socket.NI_NAMEREQD)
    except UnicodeError:  # the name is untrusted
        return None
    name = name.rstrip(".")
    return name if name.isascii() and is_host_name(name) else None
