"""Which user an agent becomes."""

import os
import pwd
from pathlib import Path

import pytest
from colotrace_agent.errors import PrivilegeError
from colotrace_agent.host import accounts
from colotrace_agent.host.accounts import Account


@pytest.fixture
def passwd(tmp_path: Path) -> Path:
    return tmp_path / "passwd"


def test_the_user_of_the_unit_comes_first(passwd: Path) -> None:
    passwd.write_text(
        "root:x:0:0::/root:/bin/sh\n"
        "colotrace:x:10001:10001::/:/bin/false\n"
        "colotrace-agent:x:998:997::/:/bin/false\n"
    )
    assert accounts.own(passwd) == Account(998, 997)


def test_without_such_a_user_it_is_a_number_that_nobody_has(passwd: Path) -> None:
    passwd.write_text(
        "root:x:0:0::/root:/bin/sh\na:x:65533:1::/:/bin/false\nnobody:x:65534:65534\n"
    )
    assert accounts.own(passwd) == Account(65532, 65532)


@pytest.mark.parametrize("text", [None, "", "garbage\n::::\n\xff:x:y:z\n", "colotrace:x:0:0::/:\n"])
def test_a_file_that_says_nothing_is_no_obstacle(passwd: Path, text: str | None) -> None:
    """It is missing, empty, or damaged; or it would have the agent stay root."""
    if text is not None:
        passwd.write_bytes(text.encode("latin-1"))
    assert accounts.own(passwd) == Account(65533, 65533)


def test_a_name_or_a_number() -> None:
    me = pwd.getpwuid(os.geteuid())
    assert accounts.named(me.pw_name) == accounts.named(str(me.pw_uid)) == Account(*me[2:4])
    assert accounts.named("4000000000") == Account(4_000_000_000, 4_000_000_000)


@pytest.mark.parametrize("user", ["no-such-user", "-1", "4294967295", "no\0name"])
def test_an_unknown_user_is_an_error(user: str) -> None:
    with pytest.raises(PrivilegeError):
        accounts.named(user)
