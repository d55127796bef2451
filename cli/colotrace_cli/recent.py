"""The last measurements of each profile, kept in a file, so that `@-1` names the last one.

The file is in `$XDG_STATE_HOME/colotrace`. If it cannot be read or written, nothing is remembered.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec
from colotrace_proto.text import safe

from .config import xdg
from .errors import SettingsError
from .settings import Settings

MOST = 50
"""Measurements that are remembered."""
_MOST_COLOS = 2_000
_MOST_FILE = 4 << 20
_LAST = re.compile(r"@-(\d{1,4})")
_ID = re.compile(r"[0-9a-f]{32}")


class Remembered(msgspec.Struct, frozen=True):
    """A measurement, and whose it is: `of` is the path of the account, which is the same at all
    coordinators of a profile."""

    id: str
    of: str
    colos: list[str]


def remember(settings: Settings, measurements: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Add measurements, by id and colos, the last one last. Never fails."""
    path = _path(settings)
    new = [
        Remembered(each, settings.path, list(colos[:_MOST_COLOS]))
        for each, colos in measurements
        if _ID.fullmatch(each)
    ]
    if path is None or not new:
        return
    content = msgspec.json.encode([*_read(path), *new][-MOST:])
    # ValueError: a path with a NUL byte.
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, content)


def measurement_id(settings: Settings, word: str) -> str:
    """The id that a word on the command line means: an id, a link that ends in one, or `@-1`.

    Raises:
        SettingsError: it is none of these, or nothing is remembered by this number.
    """
    if _LAST.fullmatch(word):
        return recalled(settings, word).id
    parts = urlsplit(word.strip())
    # The page's links have the view after the `#`: `#/ACCOUNT/m/ID?view=graph`.
    path = parts.fragment.partition("?")[0] or parts.path
    last = path.rstrip("/").rpartition("/")[2].lower()
    if _ID.fullmatch(last):
        return last
    raise SettingsError(
        f"{safe(word)} is not the id of a measurement (32 hexadecimal digits); "
        "@-1 is the last one, and colotrace list shows them"
    )


def is_last(word: str) -> bool:
    """Whether the word is `@-1`, `@-2` and so on."""
    return bool(_LAST.fullmatch(word))


def recalled(settings: Settings, word: str) -> Remembered:
    """The measurement that `@-1`, `@-2` and so on name.

    Raises:
        SettingsError: nothing is remembered by this number.
    """
    found = _LAST.fullmatch(word)
    number = int(found[1]) if found else 0
    mine = last_ones(settings)
    if not 1 <= number <= len(mine):
        known = f"only {len(mine)} are remembered" if mine else "none is remembered"
        raise SettingsError(
            f"{safe(word)}: {known} for this profile and account; see: colotrace list"
        )
    return mine[number - 1]


def last_ones(settings: Settings) -> list[Remembered]:
    """What is remembered of this account, the last one first."""
    path = _path(settings)
    known = _read(path) if path else []
    return [each for each in reversed(known) if each.of == settings.path]


def _path(settings: Settings) -> Path | None:
    name = quote(settings.profile, safe="").replace(".", "%2E")[:100]
    return xdg("XDG_STATE_HOME", ".local/state", f"last-{name}.json")


def _read(path: Path) -> list[Remembered]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_FILE), type=list[Remembered])
    except (OSError, ValueError, RecursionError):
        return []


def _replace(path: Path, content: bytes) -> None:
    """Write the file so that others see all of it or what was before."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
