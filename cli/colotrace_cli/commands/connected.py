"""Gives a command the flags that name the coordinator, and reports its errors."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from colotrace_proto.output import EXIT_INTERRUPTED, say
from colotrace_proto.starting import require

from colotrace_cli import config, settings
from colotrace_cli.errors import CliError, RequestError

from . import flags

_FLAGS = {
    "url": flags.Url,
    "token": flags.Token,
    "account": flags.Account,
    "ca_file": flags.CaFile,
    "profile": flags.Profile,
}


@dataclass(frozen=True, slots=True)
class Connection:
    """The flags that name the coordinator, not yet validated."""

    url: str | None = None
    token: str | None = None
    account: str | None = None
    ca_file: Path | None = None
    profile: str | None = None

    def settings(self, *, warn: bool = True) -> settings.Settings:
        """The settings; warnings about the configuration file go to standard error.

        Raises:
            SettingsError: one is missing or invalid.
        """
        profile = config.profile((self.profile or "").strip() or None)
        found = settings.checked(
            url=self.url,
            token=self.token,
            account=self.account,
            ca_file=self.ca_file,
            profile=profile,
        )
        for warning in profile.warnings if warn else ():
            say(f"colotrace: {warning}")
        return found


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """A command with these flags after its own; its parameter `connection` gets them.

    An error ends the program with its message and exit code.
    """
    signature = inspect.signature(command)

    def run(**given: Any) -> None:
        connection = Connection(**{name: given.pop(name) for name in _FLAGS})
        with _errors_reported(as_json=given.get("as_json", False)):
            command(**given, connection=connection)

    own = [each for name, each in signature.parameters.items() if name != "connection"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _FLAGS.items()
    ]
    # typer reads the flags from the signature and the annotations.
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *added)]
    )
    run.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


@contextmanager
def _errors_reported(*, as_json: bool) -> Iterator[None]:
    """End the program with the message and the exit code of an error."""
    require(files=16)  # for the event loop, the connection, and resolving the name
    try:
        yield
    except CliError as error:
        if as_json and isinstance(error, RequestError) and error.body is not None:
            from colotrace_cli import printing

            printing.body(error.body)
        say(f"colotrace: {error}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
