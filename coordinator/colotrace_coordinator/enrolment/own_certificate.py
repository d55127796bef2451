"""The coordinator's own certificates: issued by its CA at each start, and again at half of their
life.

Their keys are in memory only. One is for servers; the other is that of a client of the broker.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Sequence

import structlog

from colotrace_coordinator.authority.authority import SERVER_LIFETIME_S, Issued, Issuer
from colotrace_coordinator.certificates import Reload
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.links.direct.tls import TlsTexts

CHECK_S = 60.0

BROKER_USER = "coordinator"
"""The common name of a coordinator's certificate at the broker, which takes it for the user."""

log = structlog.get_logger(__name__)


class OwnCertificate:
    """For `names`, host names and IP addresses."""

    def __init__(
        self,
        authority: Issuer,
        names: Sequence[str],
        *,
        lifetime_s: float = SERVER_LIFETIME_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._names = names
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._issued = self._issue()

    @property
    def ends_at(self) -> float:
        """When the certificate of the server ends, in Unix seconds."""
        return self._issued.ends_at

    def load(self, context: ssl.SSLContext) -> None:
        """Use the certificate in a context of Python's ssl."""
        _load(self._issued, context)

    def load_client(self, context: ssl.SSLContext) -> None:
        """Use a new certificate of a client of the broker in a context, and trust this CA."""
        _load(self._authority.for_client(BROKER_USER, lifetime_s=self._lifetime_s), context)
        context.load_verify_locations(cadata=self._authority.certificate.decode())

    def read(self) -> TlsTexts:
        """The certificate, its key, and the CA for agents' certificates."""
        return TlsTexts(
            certificate=self._issued.certificate,
            key=self._issued.key,
            client_authority=self._authority.certificate,
        )

    async def run(self, reloads: Sequence[Reload], *, check_s: float = CHECK_S) -> None:
        """Issue the certificate again in time, and have it loaded, until cancelled."""
        while True:
            await asyncio.sleep(check_s)
            left_s = self._issued.ends_at - self._clock()
            # More than its life is left if the clock was ahead: it may not be valid for years.
            if self._lifetime_s / 2 < left_s <= self._lifetime_s:
                continue
            self.renew(reloads)

    def renew(self, reloads: Sequence[Reload]) -> bool:
        """Issue the certificate again, and have it loaded. False if that failed; the former one
        stays in use."""
        former, self._issued = self._issued, self._issue()
        try:
            for reload in reloads:
                reload()
        except (OSError, SetupError) as error:  # no more files can be opened, for example
            self._issued = former
            log.warning("own_certificate_not_renewed", detail=str(error))
            return False
        log.info("own_certificate_renewed", names=list(self._names))
        return True

    def _issue(self) -> Issued:
        return self._authority.for_server(self._names, lifetime_s=self._lifetime_s)


def _load(issued: Issued, context: ssl.SSLContext) -> None:
    """Python's ssl takes files only."""
    handle = os.memfd_create("certificate")
    try:
        os.write(handle, issued.certificate + issued.key)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
