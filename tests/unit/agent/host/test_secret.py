"""The host's own secret."""

from pathlib import Path

from colotrace_agent.host.secret import host_secret


def test_it_follows_from_the_machines_id_and_does_not_show_it(tmp_path: Path) -> None:
    """The same tomorrow, another on another host."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("0123456789abcdef0123456789abcdef\n")
    theirs.write_text("fedcba9876543210fedcba9876543210\n")
    secret = host_secret((ours,))
    assert secret == host_secret((tmp_path / "none", ours))
    assert len(secret) == 32
    assert b"0123" not in secret
    assert host_secret((theirs,)) != secret


def test_a_host_without_an_id_has_none(tmp_path: Path) -> None:
    """Flows then follow from target and number alone."""
    early = tmp_path / "early"
    early.write_text("uninitialized\n")
    assert host_secret((tmp_path / "none", early)) == b""
