"""What the shell's completion offers; colos and ids come from the coordinator.

Completion is silent: without settings, connection or permission, it offers nothing.
"""

import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer
from colotrace_formats.names import NAMES
from colotrace_proto.text import safe

from .connected import Connection

T = TypeVar("T")
TIMEOUT_S = 1.0
_MOST_IDS = 20
_MOST_LAST = 3


def formats(incomplete: str) -> list[str]:
    """Names of formats."""
    return [name for name in NAMES if name.startswith(incomplete)]


def colos(context: typer.Context, incomplete: str) -> list[str]:
    """Names and codes of colos after the last comma, and `@-1`."""
    before, comma, begun = incomplete.rpartition(",")
    found = _quietly(context, _colos)
    named = {each.partition(" ")[0] for each in before.split(",")}
    return [
        f"{before}{comma}{name}"
        for name in ["@-1", *(found or ())]
        if name.startswith(begun.lower()) and name not in named
    ]


def ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest measurements, each with its targets, and `@-1`."""
    last = [(f"@-{n}", "one of the last ones") for n in range(1, _MOST_LAST + 1)]
    found = [*last, *(_quietly(context, _ids) or ())]
    return [each for each in found if each[0].startswith(incomplete)]


async def _colos(connection: Connection) -> list[str]:
    from colotrace_cli.api import answer, client

    settings = connection.settings(warn=False)
    reply = await client.exchange(settings, "GET", "/colos", timeout_s=TIMEOUT_S)
    names = [safe(colo.name) for colo in answer.colos_answer(reply)]
    return sorted({*names, *(name.rstrip("0123456789") for name in names)})


async def _ids(connection: Connection) -> list[tuple[str, str]]:
    from colotrace_cli.api import answer, client

    settings = connection.settings(warn=False)
    path = f"?per_page={_MOST_IDS}"
    reply = await client.exchange(settings, "GET", path, timeout_s=TIMEOUT_S)
    found, _ = answer.measurements_answer(reply)
    return [(safe(each.id), safe(" ".join(each.targets), most=60)) for each in found]


def _quietly(
    context: typer.Context, ask: Callable[[Connection], Coroutine[Any, Any, T]]
) -> T | None:
    given = context.params
    connection = Connection(
        **{
            name: given.get(name) or os.environ.get(f"COLOTRACE_{name.upper()}")
            for name in ("url", "token", "account", "profile")
        },
        ca_file=given.get("ca_file"),
    )
    import asyncio  # slow to import

    try:
        return asyncio.run(ask(connection))
    except Exception:  # noqa: BLE001 - a shell's line is no place for a message
        return None
