"""The command lines of `token` and `key`."""

from typing import Annotated

import typer

from .options import EXIT_CODES, Data, DatabaseUrl, group

tokens = group("Tokens for Authorization: Bearer.")
keys = group("E-mails and keys for X-Auth-Email and X-Auth-Key.")

Account = Annotated[
    str,
    typer.Option(envvar="COLOTRACE_ACCOUNT", help="The account's id: 1 to 32 of [A-Za-z0-9._-]."),
]
Description = Annotated[
    str, typer.Option(envvar="COLOTRACE_DESCRIPTION", help="A description for the list.")
]


@tokens.command("create", epilog=EXIT_CODES)
def create_token(
    account: Account,
    data: Data = None,
    database: DatabaseUrl = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLOTRACE_PERMISSION",
            help="traceroute:read (list, show and compare), traceroute:write (the same, and "
            "measure, cancel and remove), diagnostics:traceroute (the same as "
            "traceroute:write; the default), diagnostics:colos (list colos only) or admin "
            "(everything); may be repeated.",
        ),
    ] = None,
    description: Description = "",
    days: Annotated[
        float | None,
        typer.Option(envvar="COLOTRACE_DAYS", min=0, help="Lifetime in days; default: unlimited."),
    ] = None,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    from colotrace_coordinator.store.location import locate

    from . import credentials as commands

    commands.create_token(
        locate(data=data, database=database),
        account=account,
        permissions=permission or [],
        description=description,
        days=days,
    )


@tokens.command("list", epilog=EXIT_CODES)
def list_tokens(data: Data = None, database: DatabaseUrl = None) -> None:
    """List tokens, without their secrets."""
    from colotrace_coordinator.store.location import locate

    from . import credentials as commands

    commands.list_tokens(locate(data=data, database=database))


@tokens.command("revoke", epilog=EXIT_CODES)
def revoke_token(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The id in the list.")],
    data: Data = None,
    database: DatabaseUrl = None,
) -> None:
    """Revoke a token. It is refused within seconds."""
    from colotrace_coordinator.store.location import locate

    from . import credentials as commands

    commands.revoke_token(locate(data=data, database=database), token_id)


@keys.command("create", epilog=EXIT_CODES)
def create_key(
    account: Account,
    email: Annotated[str, typer.Option(envvar="COLOTRACE_EMAIL", help="The owner's e-mail.")],
    data: Data = None,
    database: DatabaseUrl = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_KEY",
            help="Import this key (32 characters or more). Other users of this host can see flags "
            "(in ps): prefer the variable.",
        ),
    ] = None,
    description: Description = "",
) -> None:
    """Create or import a key and print it. It cannot be shown again."""
    from colotrace_coordinator.store.location import locate

    from . import credentials as commands

    commands.create_key(
        locate(data=data, database=database),
        account=account,
        email=email,
        key=key,
        description=description,
    )


@keys.command("list", epilog=EXIT_CODES)
def list_keys(data: Data = None, database: DatabaseUrl = None) -> None:
    """List keys, without their secrets."""
    from colotrace_coordinator.store.location import locate

    from . import credentials as commands

    commands.list_keys(locate(data=data, database=database))


@keys.command("revoke", epilog=EXIT_CODES)
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id in the list.")],
    data: Data = None,
    database: DatabaseUrl = None,
) -> None:
    """Revoke a key. It is refused within seconds."""
    from colotrace_coordinator.store.location import locate

    from . import credentials as commands

    commands.revoke_key(locate(data=data, database=database), key_id)
