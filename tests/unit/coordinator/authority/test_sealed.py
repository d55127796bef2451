"""The CA's key, encrypted for the database."""

import pytest
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.errors import SetupError

SECRET = "0123456789abcdef" * 2


def test_key_is_read_with_its_secret_only() -> None:
    closed = Seal(SECRET).close(b"key")
    assert b"key" not in closed
    assert Seal(SECRET).open(closed) == b"key"
    with pytest.raises(SetupError, match="cannot be read with this secret"):
        Seal(SECRET[::-1]).open(closed)


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"gAAAAA"])
def test_damaged_key_is_told(damaged: bytes) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        Seal(SECRET).open(damaged)


def test_short_secret_is_refused() -> None:
    with pytest.raises(SetupError, match="at least 32 random ones"):
        Seal("0123456789")
