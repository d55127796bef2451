"""Common start of `run` and `trace`: sockets, privileges, usage errors.

Nothing that starts a thread is imported before privileges have been reduced: capabilities belong to
threads, and an existing thread would keep its own. Nothing is imported once the process runs as
another user, who may not be able to read the installation.
"""

import gc
import sys
from typing import Annotated, NoReturn

import typer
from colotrace_proto.descriptors import raise_limit
from colotrace_proto.output import say

from colotrace_agent.errors import PrivilegeError
from colotrace_agent.host import privileges
from colotrace_agent.host.accounts import Account
from colotrace_agent.network.sockets import HOW_TO_ALLOW, WHY_REFUSED, RawSockets, open_all

AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        envvar="COLOTRACE_ALLOW_PRIVATE",
        help="Trace private, loopback and other non-public addresses too.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        envvar="COLOTRACE_RATE",
        min=1,
        max=10_000_000,
        help="Packets a second, of all traces together and through the nearest routers; by default "
        "5,000 and 1,000. The limit for each target stays.",
        show_default=False,
    ),
]

User = Annotated[
    str,
    typer.Option(
        "--user",
        envvar="COLOTRACE_USER",
        metavar="NAME|UID",
        help="User to run as once the sockets are open, if started by root. By default "
        "colotrace-agent if that user exists, else a UID that no user has.",
        show_default=False,
    ),
]


def open_sockets(user: str) -> tuple[RawSockets, Account | None]:
    """The raw sockets, and the account to become in `ready`. Gives up all privileges except for raw
    packets and those that changing the account needs.

    Raises:
        PrivilegeError: raw sockets are refused, or privileges cannot be given up.
    """
    raise_limit()
    privileges.require_net_raw()
    try:
        sockets = open_all()
    except PermissionError as error:
        raise PrivilegeError(
            f"raw sockets are refused ({error.strerror}), {WHY_REFUSED}; {HOW_TO_ALLOW}"
        ) from error
    if not sockets.senders:
        raise PrivilegeError("the kernel has no raw sockets, of IPv4 or IPv6: boot one that has")
    return sockets, privileges.reduce(user)


def ready(account: Account | None) -> None:
    """Give up the remaining privileges, now that everything is imported and every file is open.

    All objects so far stay for the life of the process: the garbage collector skips them.
    """
    privileges.finish(account)
    gc.freeze()
    gc.enable()


def warn_of_rate(rate: float | None) -> None:
    """Warn that `--rate` replaces the limits for routers."""
    if rate is not None:
        say(
            f"colotrace-agent: --rate {rate:g} replaces the limits that spare the network: routers "
            "that limit their answers will seem to lose packets"
        )


def usage(message: str) -> NoReturn:
    """Exit with that usage error."""
    say(f"colotrace-agent: {message}")
    sys.exit(2)
