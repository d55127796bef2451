"""Verifies that the peer has a coordinator's certificate.

Agents and coordinator have certificates of one CA. gRPC's client checks that the CA has signed the
certificate and that it is for the coordinator's name. It does not check that it is for a TLS server
(extended key usage serverAuth, RFC 5280 section 4.2.1.12), so an agent's certificate would pass.
Therefore the certificate is fetched and verified here first, and gRPC is then told to trust that
certificate alone: no other peer can answer in between.

The same connection shows whether the coordinator accepts this agent's certificate. gRPC's client
hides that: whatever the TLS alert was, it reports "Socket closed".
"""

import asyncio
import os
import ssl
import time
from collections.abc import Sequence
from contextlib import ExitStack

from colotrace_proto.certificates import UNREADABLE, refused_words, usages, validity_fault
from colotrace_proto.enrolment import JOIN_ANEW, RENEWABLE_S
from colotrace_proto.running import RunningClock
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from .tls import AgentCertificateError, CoordinatorCertificateError, Pem

_MOST_ADDRESSES = 4
_VERDICT_S = 1.0
_MOST = 16
"""Maximum number of certificates: several coordinators behind one name may have one each."""


class Pins:
    """The certificates that have been verified for one coordinator, HOST:PORT."""

    def __init__(self, coordinator: str, *, clock: RunningClock) -> None:
        host, _, port = coordinator.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._clock = clock
        self._authority = b""
        self._verified: dict[bytes, None] = {}
        self._doubted = False
        self._down = False

    def doubt(self) -> None:
        """The last attempt has failed: the coordinator may have a new certificate."""
        self._doubted = True

    def lost(self) -> None:
        """A stream has ended. The coordinator may be down: see `roots`."""
        self._down = True

    async def roots(
        self, pem: Pem, addresses: Sequence[str], *, within_s: float, anew: bool = False
    ) -> bytes:
        """PEM certificates of which the coordinator must show one; it is at one of `addresses`.
        Connections to it must be made within `within_s` seconds.

        A coordinator that did not listen has mostly kept its certificate: once it listens again, a
        handshake only to see it would double the work of a restarted coordinator. So after a stream
        has ended, a TCP connection shows first whether it listens. `anew`: it has to show its
        certificate again, and accept ours.

        Raises:
            CoordinatorCertificateError: its certificate is not of the CA, or not for a TLS server
                of that name.
            AgentCertificateError: it does not accept this agent's certificate.
            OSError: it cannot be reached.
        """
        if pem.authority != self._authority:
            self._authority, self._verified = pem.authority, {}
        if self._verified and self._down and not anew:
            _, writer = await self._connect(None, addresses, within_s)
            writer.transport.abort()
            self._doubted = self._down = False
        if anew or self._doubted or not self._verified:
            self._verified[await self._fetch(pem, addresses, within_s)] = None
            self._doubted = self._down = False
            if len(self._verified) > _MOST:
                del self._verified[next(iter(self._verified))]
        return b"".join(self._verified)

    async def _fetch(self, pem: Pem, addresses: Sequence[str], within_s: float) -> bytes:
        try:
            reader, writer = await self._connect(_context(pem), addresses, within_s)
        except ConnectionRefusedError:
            self._down = True
            raise
        except ssl.SSLCertVerificationError as error:
            words = refused_words(error, host=self._host, now=time.time())
            raise CoordinatorCertificateError(words) from error
        try:
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            await self._accepted(reader, pem)
        finally:
            writer.transport.abort()
        if not _for_servers(shown):
            raise CoordinatorCertificateError(
                "the coordinator's certificate is not for a TLS server; have it issued with the "
                "extended key usage serverAuth"
            )
        return ssl.DER_cert_to_PEM_cert(shown).encode()

    async def _connect(
        self, context: ssl.SSLContext | None, addresses: Sequence[str], within_s: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first address that can be reached; without `context`, by TCP only."""
        host = self._host if context is not None else None
        trouble = OSError("the coordinator's name has no address")
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                async with self._clock.timeout(within_s / min(len(addresses), _MOST_ADDRESSES)):
                    return await asyncio.open_connection(
                        address, self._port, ssl=context, server_hostname=host
                    )
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                trouble = error
        raise trouble

    async def _accepted(self, reader: asyncio.StreamReader, pem: Pem) -> None:
        """Waits for the first byte of HTTP/2. In TLS 1.3 the client is done before the server has
        checked the client's certificate; gRPC's server then closes the connection, mostly without
        an alert."""
        told = "hung up"
        try:
            async with self._clock.timeout(_VERDICT_S):
                if await reader.read(1):
                    return
        except TimeoutError:
            return
        except OSError as error:
            told = getattr(error, "reason", None) or told  # of an ssl.SSLError
        fault = own_fault(pem)
        begin = f"the coordinator does not take this agent's certificate ({told})"
        if fault:
            text = f"{begin}: {fault}"
        elif pem.renewed_at:
            text = (
                f"{begin}, though it is valid by this host's clock; the coordinator may have "
                f"another CA now, or its clock may be wrong. If it stays so, {JOIN_ANEW}"
            )
        else:
            text = (
                f"{begin}: check --tls-cert, its extended key usage clientAuth, and the "
                "coordinator's --agent-ca"
            )
        raise AgentCertificateError(text, expired=bool(fault))


def own_fault(pem: Pem) -> str:
    """Why this agent's certificate is not valid by this host's clock, and what to do; "" if it
    is."""
    try:
        loaded = x509.load_pem_x509_certificate(pem.certificate)
    except UNREADABLE:
        return ""
    fault = validity_fault(loaded, now=time.time())
    if not fault or loaded.not_valid_before_utc.timestamp() > time.time():
        return fault
    if pem.renewed_at:
        return (
            f"{fault}. The agent renews it at {pem.renewed_at} by itself, up to "
            f'{RENEWABLE_S / 86_400:g} days later; the log says "certificate not renewed" with the '
            f"reason if it cannot. If that does not help, {JOIN_ANEW}"
        )
    return f"{fault}; have it renewed by its CA, and check the clock"


def _context(pem: Pem) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=pem.authority.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise OSError("the file of --tls-ca is not PEM") from error
    context.set_alpn_protocols(["h2"])
    # The ssl module reads files only, and this process may not be able to open ours any more.
    with ExitStack() as stack:
        paths: list[str] = []
        try:
            for text in (pem.certificate, pem.key):
                file = stack.enter_context(os.fdopen(os.memfd_create("pem"), "wb"))
                file.write(text)
                file.flush()
                paths.append(f"/proc/self/fd/{file.fileno()}")
            context.load_cert_chain(paths[0], paths[1], password="")  # no prompt at the terminal
        except ssl.SSLError as error:
            raise OSError(
                "--tls-cert and --tls-key cannot be used together: the first is a certificate in "
                "PEM, the second its private key without a password"
            ) from error
        except OSError:
            pass  # no memfd or no /proc: connect without a client certificate
    return context


def _for_servers(der: bytes) -> bool:
    try:
        return ExtendedKeyUsageOID.SERVER_AUTH in usages(x509.load_der_x509_certificate(der))
    except UNREADABLE:
        return False
