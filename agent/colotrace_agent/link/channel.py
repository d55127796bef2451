"""gRPC channels to a coordinator: its name resolved, its certificate verified."""

import ipaddress
from typing import TYPE_CHECKING

import grpc
from colotrace_proto.running import RunningClock

from colotrace_agent.host.resolve import Resolver

from .status import StreamEndedError
from .tls import AgentCertificateError, CoordinatorCertificateError, Tls

if TYPE_CHECKING:
    from .pins import Pins

_MAX_MESSAGE = 1 << 20
_LOOKUP_S = 30.0
_LOOKUP_THREADS = 4


def link_resolver() -> Resolver:
    """A resolver for coordinators' names, with threads of its own: look-ups of targets do not delay
    them. Create it on the event loop."""
    return Resolver(within_s=_LOOKUP_S, threads=_LOOKUP_THREADS)


class Dialer:
    """Opens channels to one coordinator, HOST:PORT."""

    def __init__(
        self, coordinator: str, *, tls: Tls | None, clock: RunningClock, resolver: Resolver
    ) -> None:
        """`resolver` looks up the coordinator's name for each channel."""
        self._coordinator = coordinator
        self._resolver = resolver
        self._tls = tls
        self._pins: Pins | None = None
        if tls is not None:
            from . import pins  # not loaded by agents without TLS

            self._pins, self._own_fault = pins.Pins(coordinator, clock=clock), pins.own_fault

    def failed(self) -> None:
        """The coordinator did not answer on the last channel: verify its certificate again."""
        if self._pins is not None:
            self._pins.doubt()

    def lost(self) -> None:
        """A stream on the last channel has ended."""
        if self._pins is not None:
            self._pins.lost()

    async def open(self, *, within_s: float) -> grpc.aio.Channel:
        """A channel to the coordinator, whose certificate is verified within this time.

        Raises:
            UnresolvableError: its name has no address.
            OSError: a file cannot be read, or the coordinator cannot be reached.
            StreamEndedError: one of the two certificates is not accepted.
        """
        addresses = await self._addresses()
        target = _grpc_target(addresses, self._coordinator.rpartition(":")[2])
        options = (
            # The host name in its certificate, whatever address it was reached at.
            ("grpc.default_authority", self._coordinator),
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            # Pings find out that the coordinator's host has vanished; heartbeats are rare. They are
            # sent more often than the coordinator's, which the data of ours postpones.
            ("grpc.keepalive_time_ms", 9_000),
            ("grpc.keepalive_timeout_ms", 7_000),
            ("grpc.http2.ping_timeout_ms", 7_000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.bdp_probe", 0),  # a ping for each message, to estimate the bandwidth
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.enable_http_proxy", 0),
        )
        if self._tls is None or self._pins is None:
            return grpc.aio.insecure_channel(target, options)
        pem = self._tls.read()
        # If the coordinator refuses our certificate, gRPC says no more than "Socket closed".
        anew = bool(self._own_fault(pem))
        try:
            roots = await self._pins.roots(pem, addresses, within_s=within_s, anew=anew)
        except CoordinatorCertificateError as error:
            raise StreamEndedError(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
        except AgentCertificateError as error:
            # A coordinator that is stopping closes the connection in the same way.
            expired = grpc.StatusCode.UNAUTHENTICATED
            code = expired if error.expired else grpc.StatusCode.UNAVAILABLE
            raise StreamEndedError(code, str(error)) from error
        credentials = grpc.ssl_channel_credentials(roots, pem.key, pem.certificate)
        return grpc.aio.secure_channel(target, credentials, options)

    async def _addresses(self) -> list[str]:
        """The coordinator's addresses, in the host's order.

        gRPC's own resolver (c-ares) ends a search at the first search domain that fails, and does
        not know nsswitch.
        """
        host = self._coordinator.rpartition(":")[0].strip("[]")
        found = await self._resolver.addresses(host)
        return [str(ipaddress.ip_address(address)) for address in found]


def _grpc_target(addresses: list[str], port: str) -> str:
    """All addresses in one gRPC target, which must be of one family. IPv4 addresses among IPv6 ones
    are written as mapped addresses, for which the kernel sends IPv4 (RFC 4291 section 2.5.5.2)."""
    if all(":" not in address for address in addresses):
        return "ipv4:" + ",".join(f"{address}:{port}" for address in addresses)
    mapped = (each if ":" in each else f"::ffff:{each}" for each in addresses)
    return "ipv6:" + ",".join(f"[{address}]:{port}" for address in mapped)
