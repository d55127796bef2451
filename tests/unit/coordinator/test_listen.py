"""Names of addresses to listen on."""

import pytest
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.listen import Address, listen


@pytest.mark.parametrize("host", ["a" * 70, "a\u200db.invalid", "a..b"])
def test_a_host_that_is_no_name(host: str) -> None:
    """Said in words with the flag, whatever is wrong with it."""
    with pytest.raises(SetupError, match="--http"):
        listen(Address(host, 0), flag="--http")


def test_a_name_of_this_host() -> None:
    """Every address that it has, on one port."""
    sockets = listen(Address("localhost", 0), flag="--http")
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()
