"""Replacement of the coordinator's certificates while it runs."""

import asyncio
import signal
import ssl
from pathlib import Path

from eventually import wait_until
from fleet.authority import Authority, Pair
from integration.coordinator.test_main import serving


def _shown(address: str, authority: Authority, own: Pair) -> bytes:
    """The certificate of a server."""

    async def show() -> bytes:
        context = ssl.create_default_context(cafile=authority.path)
        context.load_cert_chain(own.certificate, own.key)
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return shown

    return asyncio.run(show())


def test_sighup_reloads_certificates(tmp_path: Path) -> None:
    """For agents and for the API, without a restart."""
    authority = Authority(tmp_path / "ca")
    used = authority.issue("coordinator", also="127.0.0.1")
    agent = authority.issue("den01")
    flags = [
        "--tls-cert", str(used.certificate), "--tls-key", str(used.key),
        "--agent-ca", str(authority.path),
    ]  # fmt: skip
    with serving(tmp_path, *flags, insecure=False) as (process, line, _):
        before = [_shown(line[at], authority, agent) for at in ("http", "grpc")]
        renewed = authority.issue("renewed", also="127.0.0.1")
        used.certificate.write_bytes(renewed.certificate.read_bytes())
        used.key.write_bytes(renewed.key.read_bytes())
        process.send_signal(signal.SIGHUP)
        wanted = ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
        assert before != [wanted, wanted]
        for at in ("http", "grpc"):
            wait_until(lambda at=at: _shown(line[at], authority, agent) == wanted, within_s=10)
        assert process.poll() is None


def test_sighup_without_certificates_is_ignored(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _, _):
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
