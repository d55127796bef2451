"""Names that a mistyped name may have been meant to be."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

from colotrace_proto.text import safe

from .api import answer, client
from .errors import CliError, RequestError
from .settings import Settings

_MOST = 3
_TIMEOUT_S = 3.0


@contextmanager
def suggesting(settings: Settings, colos: Sequence[str] | None) -> Iterator[None]:
    """Add the colos that may have been meant to the error about unknown ones.

    Raises:
        RequestError: the error, with suggestions.
    """
    try:
        yield
    except RequestError as error:
        wrong = [colos[at] for at in error.unknown_colos if colos and at < len(colos)]
        if not wrong:
            raise
        text = "\n".join([str(error), *_lines(settings, wrong)])
        raise RequestError(text, body=error.body, status=error.status) from error


def near(word: str, known: Sequence[str]) -> list[str]:
    """The known words that are most like it."""
    return get_close_matches(word.lower(), known, n=_MOST)


def _lines(settings: Settings, wrong: Sequence[str]) -> list[str]:
    try:
        reply = asyncio.run(client.exchange(settings, "GET", "/colos", timeout_s=_TIMEOUT_S))
        names = [colo.name for colo in answer.colos_answer(reply)]
    except CliError:
        return []
    known = sorted({*names, *(name.rstrip("0123456789") for name in names)})
    lines = []
    for word in wrong:
        found = near(word, known)
        if found:
            lines.append(f"  {safe(word)}: did you mean {' or '.join(map(safe, found))}?")
    return lines
