"""The user to which an agent changes if root starts it."""

import pwd
from pathlib import Path
from typing import NamedTuple

from colotrace_agent.errors import PrivilegeError

_PASSWD = Path("/etc/passwd")
_OWN_NAMES = ("colotrace-agent", "colotrace")
"""The users of the systemd unit and of the container image."""
_UNASSIGNED_UIDS = range(65_533, 65_519, -1)
"""Numbers below `nobody` that Debian and systemd do not assign (systemd's UIDS-GIDS.md)."""


class Account(NamedTuple):
    """A user and its group."""

    uid: int
    gid: int


def named(user: str) -> Account:
    """The account of `--user`: a name, or a number, which may be unassigned.

    Raises:
        PrivilegeError: there is no such user.
    """
    if user.isascii() and user.isdecimal() and int(user) < 2**32 - 1:
        number = int(user)
        try:
            return Account(number, pwd.getpwuid(number).pw_gid)
        except KeyError:
            return Account(number, number)
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise PrivilegeError(
            f"--user {user}: there is no such user; make one (useradd --system {user}), or give "
            "the number of one that nothing else uses"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def own(passwd: Path = _PASSWD) -> Account:
    """The host's user for agents, or else a number that /etc/passwd does not use (65533 if all are
    used).

    `nobody` is not used, since other programs with that user could signal the agent. The file is
    read directly, since the name service can take seconds if a directory server is down.
    """
    accounts = _accounts(passwd)
    for name in _OWN_NAMES:
        if name in accounts and accounts[name].uid:
            return accounts[name]
    taken = {account.uid for account in accounts.values()}
    number = next((each for each in _UNASSIGNED_UIDS if each not in taken), _UNASSIGNED_UIDS[0])
    return Account(number, number)


def _accounts(passwd: Path) -> dict[str, Account]:
    try:
        lines = passwd.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, Account] = {}
    for line in lines:
        name, *fields = line.split(":")
        if len(fields) >= 3 and fields[1].isdecimal() and fields[2].isdecimal():
            found.setdefault(name, Account(int(fields[1]), int(fields[2])))
    return found
