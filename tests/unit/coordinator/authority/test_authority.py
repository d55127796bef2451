"""What the authority signs, and for whom."""

import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from colotrace_coordinator.authority.authority import (
    MAX_REQUEST,
    Authority,
    SigningRequestError,
    requested_key,
)
from colotrace_coordinator.authority.identity import AgentIdentity, IdentityId, identity_of
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.links.direct.tls import agent_certificate
from colotrace_proto.messages import AgentId, ColoName
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from manual_clock import ManualClock

AGENT = AgentIdentity(IdentityId("0123456789abcdef"), ColoName("den01"), AgentId("probe-1"))
NOW = 1_800_000_000.0
LIFETIME_S = 7 * 86_400.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(clock=ManualClock(NOW))


def requested(key: object, name: str = "anything") -> bytes:
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(named)
    return builder.sign(key, digest).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_agent_gets_a_certificate_of_its_identity_alone(authority: Authority) -> None:
    """Whatever names it asks for. Its common name is the identity, a broker's user."""
    key = ec.generate_private_key(ec.SECP256R1())
    asked = requested_key(requested(key, "coordinator.example.net"))
    pem, ends_at = authority.for_agent(AGENT, asked, lifetime_s=LIFETIME_S)
    assert ends_at == NOW + LIFETIME_S
    read = agent_certificate(pem)
    assert (read.names, read.expires_at) == ((AGENT.id,), ends_at)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert identity_of(names.get_values_for_type(x509.UniformResourceIdentifier)) == AGENT
    assert certificate.public_key() == asked == key.public_key()
    assert authority.has_signed(certificate)
    assert not Authority.create().has_signed(certificate)


@pytest.mark.parametrize("name", ["trace.example.net", "192.0.2.1", "2001:db8::1"])
def test_server_is_verified_by_each_of_its_names(tmp_path: Path, name: str) -> None:
    """By Python's ssl, on memory buffers."""
    authority = Authority.create()
    issued = authority.for_server(["trace.example.net", "192.0.2.1", "2001:db8::1"])
    pair = tmp_path / "pair.pem"
    pair.write_bytes(issued.certificate + issued.key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pair)
    client_side = ssl.create_default_context(cadata=authority.certificate.decode())
    assert handshake(client_side, server_side, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_side, server_side, "other.example.net")


def handshake(client_side: ssl.SSLContext, server_side: ssl.SSLContext, name: str) -> bool:
    """Let two ends talk until the client has verified the server."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(back, there, server_hostname=name)
    server = server_side.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert() is not None


def test_names_of_a_server_are_alternative_names(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(
        authority.for_server(["a.example", "192.0.2.1"]).certificate
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("192.0.2.1")]


def test_authority_is_the_same_after_it_was_stored(authority: Authority) -> None:
    again = Authority.load(authority.certificate, authority.export())
    assert again.certificate == authority.certificate
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem, _ = again.for_agent(AGENT, key, lifetime_s=LIFETIME_S)
    assert authority.has_signed(x509.load_pem_x509_certificate(pem))


def test_key_of_another_authority_is_refused(authority: Authority) -> None:
    with pytest.raises(SetupError, match="not that of its certificate"):
        Authority.load(authority.certificate, Authority.create().export())
    with pytest.raises(SetupError, match="cannot be read"):
        Authority.load(b"nothing", authority.export())


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65_537, 2_048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_other_kinds_of_keys_are_refused(key: object) -> None:
    with pytest.raises(SigningRequestError, match="not on P-256"):
        requested_key(requested(key))


def with_a_wrong_signature(key: object) -> bytes:
    der = bytearray(x509.load_pem_x509_csr(requested(key)).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


def test_signature_of_another_kind_of_key_is_not_verified() -> None:
    """Some take long, and nobody has shown a token yet."""
    with pytest.raises(SigningRequestError, match="not on P-256"):
        requested_key(with_a_wrong_signature(rsa.generate_private_key(65_537, 2_048)))


def test_request_whose_signature_is_wrong_is_refused() -> None:
    """Who asks must have the key."""
    forged = with_a_wrong_signature(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SigningRequestError, match="signature is wrong"):
        requested_key(forged)


@pytest.mark.parametrize("text", [b"", b"x" * (MAX_REQUEST + 1), b"-----BEGIN CERTIFICATE-----"])
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(SigningRequestError):
        requested_key(text)
