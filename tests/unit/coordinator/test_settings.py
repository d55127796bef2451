"""Which certificates are used, and by which names the coordinator is reached."""

import socket
import threading
from pathlib import Path

import pytest
from colotrace_coordinator import own_names as own_names_module
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.listen import Address
from colotrace_coordinator.own_names import checked_name, own_names
from colotrace_coordinator.settings import OwnAuthority, TlsPaths, choose_authority, choose_tls
from colotrace_coordinator.store.location import Location, locate
from colotrace_proto.hostnames import is_host_name
from colotrace_proto.identifiers import address_of

POSTGRESQL = locate(data=None, database="postgresql://user@db.example/colotrace")


@pytest.fixture
def files(tmp_path: Path) -> TlsPaths:
    made = [tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem")]
    for file in made:
        file.touch()
    return TlsPaths(certificate=made[0], key=made[1], agent_ca=made[2])


def chosen(
    *,
    insecure: bool = False,
    tls: TlsPaths | None = None,
    names: tuple[str, ...] = (),
    secret: str = "",
    secret_file: Path | None = None,
    data: Path | None = None,
    location: Location = POSTGRESQL,
) -> OwnAuthority | None:
    return choose_authority(
        insecure=insecure,
        tls=tls,
        names=names,
        join=Address("", 8_082),
        secret=secret,
        secret_file=secret_file,
        lifetime_s=60.0,
        data=data,
        location=location,
    )


def test_coordinator_issues_what_is_not_given(files: TlsPaths, tmp_path: Path) -> None:
    given = {"certificate": files.certificate, "key": files.key}
    assert choose_tls(insecure=False, **given, agent_ca=files.agent_ca) == files
    for_https = choose_tls(insecure=False, **given, agent_ca=None)
    assert for_https == TlsPaths(**given, agent_ca=None)
    assert choose_tls(insecure=False, certificate=None, key=None, agent_ca=None) is None
    sqlite = locate(data=tmp_path, database=None)
    own = chosen(tls=for_https, names=("A.example", "a.example", "[2001:DB8::1]"), location=sqlite)
    assert own is not None
    assert own.names == ("a.example", "2001:db8::1")
    assert own.secret_file == tmp_path / "ca.secret"
    assert chosen(tls=files) is None
    assert chosen(insecure=True) is None


def test_flags_that_exclude_each_other_are_named(files: TlsPaths) -> None:
    with pytest.raises(SetupError, match="--insecure and --tls-key exclude"):
        choose_tls(insecure=True, certificate=None, key=files.key, agent_ca=None)
    with pytest.raises(SetupError, match="--agent-ca needs --tls-cert and --tls-key"):
        choose_tls(insecure=False, certificate=None, key=None, agent_ca=files.agent_ca)
    with pytest.raises(SetupError, match="there is no such file"):
        choose_tls(insecure=False, certificate=Path("none"), key=files.key, agent_ca=None)
    with pytest.raises(SetupError, match="--insecure excludes it"):
        chosen(insecure=True, names=("a.example",))
    with pytest.raises(SetupError, match="--agent-ca excludes it"):
        chosen(tls=files, names=("a.example",))


def test_key_of_the_ca_needs_a_secret_outside_of_the_database(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="COLOTRACE_CA_SECRET, in a file by --ca-secret-file"):
        chosen()
    own = chosen(secret="s" * 32)
    assert own is not None
    assert own.secret_file is None
    assert "s" * 32 not in repr(own)
    assert chosen(secret_file=tmp_path / "secret") is not None
    beside_postgresql = chosen(data=tmp_path)
    assert beside_postgresql is not None
    assert beside_postgresql.secret_file == tmp_path / "ca.secret"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Trace.Example.NET", "trace.example.net"),
        ("bücher.example", "xn--bcher-kva.example"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
    ],
)
def test_names_are_written_as_certificates_have_them(text: str, name: str) -> None:
    assert checked_name(text) == name


@pytest.mark.parametrize("text", ["", "a b", "trace.example.net:8082", "https://a.example", "a/b"])
def test_other_texts_are_no_names(text: str) -> None:
    with pytest.raises(SetupError, match="without a port"):
        checked_name(text)


def test_name_servers_that_do_not_answer_leave_the_short_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The coordinator starts all the same."""
    answer = threading.Event()
    monkeypatch.setattr(own_names_module, "NAME_WITHIN_S", 0.01)
    monkeypatch.setattr(socket, "getfqdn", answer.wait)
    monkeypatch.setattr(socket, "gethostname", lambda: "short")
    names = own_names()
    answer.set()
    assert names[0] == "short"


def test_host_has_a_name() -> None:
    names = own_names()
    assert names
    assert all(address_of(name) or is_host_name(name) for name in names)
