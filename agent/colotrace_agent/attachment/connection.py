"""The connection to the coordinator, step by step: name, TCP, TLS, gRPC, and the path's MTU."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing

from colotrace_proto.certificates import UNREADABLE, CertificateFault, fault_of
from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.spans import span
from cryptography import x509

from colotrace_agent.errors import AgentError
from colotrace_agent.link.trial import LargeUnansweredError, UnansweredError, try_calls

from .uplink import Uplink

_CONNECT_S = 4.0
_MOST_ADDRESSES = 4
_ETHERNET = 1_500
_IP_MTU, _IPV6_MTU = 14, 24  # linux/in.h, linux/in6.h
_SLOW_S = 1.0
_LATE_S = 1.0
"""Beyond a small request's time: a lost packet is sent again after 0.2 s, 0.4 s, 0.8 s."""
_MTU = "path MTU"
_LET_THROUGH = (
    "let ICMP 'fragmentation needed' and ICMPv6 'packet too big' pass, lower the MTU of the route "
    "(ip route change … mtu 1280), or sysctl -w net.ipv4.tcp_mtu_probing=1"
)
_REACH = "check that the coordinator runs, its address, and firewalls between"


def findings(uplink: Uplink) -> list[Finding]:
    """Each step, up to the first that fails."""
    return list(_steps(uplink))


def _steps(uplink: Uplink) -> Iterator[Finding]:
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(uplink.host, uplink.port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield judge_name(uplink.host, error.strerror or str(error), took_s=0)
        return
    addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
    yield judge_name(uplink.host, addresses, took_s=time.monotonic() - began)
    reached = {address: _connect(address, uplink.port) for address in addresses[:_MOST_ADDRESSES]}
    yield judge_tcp(uplink.coordinator, reached)
    good = [address for address, result in reached.items() if isinstance(result, float)]
    if not good:
        return
    if uplink.tls is not None:
        finding = _tls(uplink, good[0])
        yield finding
        if finding.remedy:
            return
    answered = list(_grpc(uplink))
    yield from answered
    mtu = _path_mtu(good[0])
    if mtu is not None and answered[-1].check != _MTU:
        yield judge_mtu(good[0], mtu)


def judge_name(host: str, addresses: "list[str] | str", *, took_s: float) -> Finding:
    """`addresses` of the coordinator's host, or why there are none."""
    check = "coordinator's name"
    if isinstance(addresses, str):
        return fail(
            check,
            f"{host} does not resolve: {addresses}",
            f"see: getent ahosts {host}; add it to the DNS or to /etc/hosts of this host",
        )
    words = f"{host} is {', '.join(addresses)}"
    if took_s > _SLOW_S:
        return warn(
            check,
            f"{words}, after {took_s:.1f} s",
            "name servers first in /etc/resolv.conf are slow",
        )
    return ok(check, words)


def judge_tcp(coordinator: str, reached: "dict[str, float | str]") -> Finding:
    """`reached`: by address the seconds that connecting took, or why it failed."""
    check = "connection"
    failed = {address: why for address, why in reached.items() if isinstance(why, str)}
    words = "; ".join(f"{address}: {why}" for address, why in failed.items())
    if len(failed) == len(reached):
        return fail(check, f"{coordinator} cannot be reached: {words}", _REACH)
    if failed:
        return warn(
            check,
            f"not every address of {coordinator} can be reached: {words}",
            "correct the DNS record, or let the coordinator listen on all addresses",
        )
    quickest = min(took for took in reached.values() if isinstance(took, float))
    return ok(check, f"{coordinator} after {quickest * 1e3:.1f} ms")


def judge_tls(
    coordinator: str, fault: CertificateFault, reason: str, *, begins_s: float, ends_s: float
) -> Finding:
    """Judge a certificate of the coordinator that is not accepted. `reason`: OpenSSL's words.
    `begins_s` and `ends_s`: its validity, in seconds from now."""
    check = "coordinator's certificate"
    host = coordinator.rpartition(":")[0].strip("[]")
    match fault:
        case CertificateFault.EXPIRED:
            return fail(
                check,
                f"has ended {span(-ends_s)} ago by this host's clock",
                "set the clock of this host, if it is ahead; otherwise restart the coordinator, or "
                "replace its certificate",
            )
        case CertificateFault.NOT_YET_VALID:
            return fail(
                check,
                f"is valid only in {span(begins_s)} by this host's clock",
                "set the clock of this host: it is behind",
            )
        case CertificateFault.OTHER_NAME:
            return fail(
                check,
                f"is not for {host}",
                f"start the coordinator with --name {host}, or use a name that its certificate has",
            )
        case CertificateFault.OTHER_AUTHORITY:
            return fail(
                check,
                f"is of another CA than this agent knows ({reason})",
                "join anew if the coordinator has a new database; otherwise somebody else answers "
                f"at {coordinator}",
            )
        case CertificateFault.UNKNOWN:
            return fail(check, reason, _REACH)


def judge_mtu(address: str, mtu: int) -> Finding:
    """Judge the MTU of the path, as far as the kernel has learnt it."""
    check = _MTU
    if mtu < _ETHERNET:
        return warn(
            check,
            f"{mtu} to {address}: a tunnel is on the way",
            f"fine if everything works; if streams stall: {_LET_THROUGH}",
        )
    return ok(check, f"{mtu} to {address}")


def judge_refusal(refusal: str) -> Finding:
    """Judge the coordinator's words to an agent that may not attach: the fault; the remedy."""
    fault, _, remedy = refusal.partition("; ")
    return fail("enrolment", fault, remedy or "see the coordinator's log")


def judge_large(took_s: float | None) -> Finding:
    """A request of several full packets was answered late, or not at all (None), and a small one
    at once. TCP may find a smaller size by itself, after losses (tcp_mtu_probing)."""
    how = "not" if took_s is None else f"only after {took_s:.1f} s"
    return (fail if took_s is None else warn)(
        _MTU,
        f"large requests are answered {how}, small ones at once: full packets get lost on the way",
        _LET_THROUGH,
    )


def _connect(address: str, port: int) -> "float | str":
    began = time.monotonic()
    try:
        socket.create_connection((address, port), timeout=_CONNECT_S).close()
    except TimeoutError:
        return f"no answer within {_CONNECT_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return time.monotonic() - began


def _tls(uplink: Uplink, address: str) -> Finding:
    assert uplink.tls is not None  # noqa: S101 - of the caller
    check = "coordinator's certificate"
    context = ssl.create_default_context(cadata=uplink.tls.read().authority.decode())
    try:
        shown = _handshake(context, uplink, address)
    except ssl.SSLCertVerificationError as error:
        begins_at, ends_at = _validity(_shown_to_anybody(uplink, address))
        now = time.time()
        return judge_tls(
            uplink.coordinator,
            fault_of(error),
            error.verify_message,
            begins_s=begins_at - now,
            ends_s=ends_at - now,
        )
    except OSError as error:
        return fail(
            check,
            f"no TLS at {uplink.coordinator}: {getattr(error, 'reason', None) or error}",
            "check the port, which is that of the coordinator's --grpc; without TLS use --insecure",
        )
    return ok(check, f"valid for {uplink.host}, ends in {span(_validity(shown)[1] - time.time())}")


def _handshake(context: ssl.SSLContext, uplink: Uplink, address: str) -> bytes:
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((address, uplink.port), timeout=_CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=uplink.host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _shown_to_anybody(uplink: Uplink, address: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return _handshake(context, uplink, address)
    except OSError:
        return b""


def _validity(der: bytes) -> tuple[float, float]:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except UNREADABLE:
        return time.time(), time.time()
    return (
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _grpc(uplink: Uplink) -> Iterator[Finding]:
    check = "coordinator"
    try:
        small_s, large_s, refusal = try_calls(uplink.coordinator, tls=uplink.tls)
    except LargeUnansweredError:
        yield ok(check, f"answers at {uplink.coordinator}")
        yield judge_large(None)
    except UnansweredError as error:
        yield fail(
            check,
            f"lets us connect to {uplink.coordinator}, but answers no request ({error}): full "
            "packets may get lost on the way (path MTU), or it is overloaded",
            f"{_LET_THROUGH}; or look at the coordinator's load",
        )
    except AgentError as error:
        remedy = "see the finding on this agent's certificate, and the agent's log"
        yield fail(check, str(error), remedy)
    except (OSError, TimeoutError) as error:
        yield fail(
            check,
            f"does not answer by gRPC at {uplink.coordinator}: {error or type(error).__name__}",
            "check that this is the coordinator's --grpc, and that both sides use TLS or neither",
        )
    else:
        yield ok(check, f"answers at {uplink.coordinator} after {small_s * 1e3:.0f} ms")
        if refusal:
            yield judge_refusal(refusal)
        if large_s - small_s > _LATE_S:
            yield judge_large(large_s)


def _path_mtu(address: str) -> int | None:
    """What the kernel knows of the path; a datagram socket sends nothing when it is connected."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    level, option = (
        (socket.IPPROTO_IPV6, _IPV6_MTU) if ":" in address else (socket.IPPROTO_IP, _IP_MTU)
    )
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as asked:
            asked.connect((address, 9))
            return asked.getsockopt(level, option)
    except OSError:
        return None
