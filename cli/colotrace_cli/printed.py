"""Runs what a command asks for, and prints what comes out."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import quote

from colotrace_proto.layout import TextOutput

from . import changes, fates, links, printing, runs
from .api import answer, client
from .api.shapes import Answer
from .asking import Request, with_last
from .live.following import ID_HEADER
from .runs import Traced
from .settings import Settings
from .suggestions import suggesting
from .views import result, watched
from .views.measurements import heading
from .views.tables import words

_DOT = "dot"


@dataclass(frozen=True, slots=True)
class View:
    """How rows are printed: `body` is the API's JSON."""

    full: bool = False
    tree: bool = False
    matrix: bool = False
    body: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """Rows with an error, and rows without an answer of their target."""

    failed: int
    unreached: int


class Printed:
    """What `trace` does with a request."""

    def __init__(self, settings: Settings, request: Request, *, share: bool = False) -> None:
        """Raises SettingsError if `@-1` names nothing."""
        self._settings = settings
        self._request = with_last(request, settings)
        self._share = share

    def begun(self) -> None:
        """Start, and print the ids, or the links."""
        with suggesting(self._settings, self._request.colos):
            found = asyncio.run(runs.begun(self._settings, self._request))
        for each in found:
            printing.lines([links.link(self._settings, each.id) if self._share else each.id])

    def documents(self, form: str) -> None:
        """Trace, and print the answers in this format."""
        with suggesting(self._settings, self._request.colos):
            found = asyncio.run(runs.documents(self._settings, self._request, form))
        for each in found:
            printing.document(each.body)
            if form == _DOT:
                printing.dot_note(each.body)
        self._shared([each.header(ID_HEADER) or None for each in found])

    def traced(self, view: View) -> Ended:
        """Trace, and print the rows."""
        return self._print(self._trace(body=view.body), view)

    def watched(self, view: View, every_s: float) -> NoReturn:
        """Trace and print; then trace again and again, and print what changed."""
        at = time.monotonic()
        before, took_s = self._trace()
        self._print((before, took_s), view)
        while True:
            printing.flush()
            at = max(at + every_s, time.monotonic())
            time.sleep(max(at - time.monotonic(), 0))
            after, _ = self._trace()
            found = asyncio.run(changes.differences(self._settings, before, after))
            printing.lines(watched.since(found, datetime.now(UTC), printing.output()))
            before = after

    def _trace(self, *, body: bool = False) -> "tuple[list[Traced], float]":
        began = time.monotonic()
        with suggesting(self._settings, self._request.colos):
            done = asyncio.run(runs.traced(self._settings, self._request, body=body))
        return done, time.monotonic() - began

    def _print(self, traced: tuple[Sequence[Traced], float], view: View) -> Ended:
        done, took_s = traced
        on = printing.output()
        for each in done:
            if view.body:
                printing.body(each.body)
            elif view.tree or view.matrix:
                printing.lines(_together(each.answer, on, tree=view.tree))
            else:
                own = took_s if len(done) == 1 else None
                printing.lines(result.result(each.answer, on, took_s=own, full=view.full))
        if len(done) > 1 and not view.body:
            printing.lines([result.summary([each.answer for each in done], took_s)])
        if not (view.body or view.tree or view.matrix):
            for each in done:
                _fate(self._settings, each)
            if not view.full:
                _hint(done)
        self._shared([each.id for each in done])
        return _ended([each.answer for each in done])

    def _shared(self, ids: Sequence[str | None]) -> None:
        if not self._share:
            return
        known = [each for each in ids if each]
        printing.lines(links.link(self._settings, each) for each in known)
        if len(known) < len(ids):
            printing.note("this coordinator keeps no measurements, so there is no link")


def kept(settings: Settings, measurement: str, view: View) -> Ended:
    """Print a measurement that is kept, or what there is of it so far."""
    work = client.exchange(settings, "GET", f"/{measurement}")
    reply = runs.waited(f"asking for {measurement}", work)
    found = answer.trace_answer(reply)
    return _print_kept(settings, Traced(found, measurement, reply.body), view)


def kept_document(settings: Settings, measurement: str, form: str) -> None:
    """Print a measurement that is kept in this format."""
    path = f"/{measurement}?format={quote(form, safe='')}"
    reply = runs.waited(f"asking for {measurement}", client.exchange(settings, "GET", path))
    answer.succeed(reply)
    printing.document(reply.body)
    if form == _DOT:
        printing.dot_note(reply.body)


def followed(settings: Settings, measurement: str, view: View) -> Ended:
    """Follow a measurement to its end, and print it."""
    found = asyncio.run(runs.watched(settings, measurement))
    if view.body:
        return kept(settings, measurement, view)
    return _print_kept(settings, Traced(found, measurement), view)


def _print_kept(settings: Settings, found: Traced, view: View) -> Ended:
    on = printing.output()
    if view.body:
        printing.body(found.body)
    elif view.tree or view.matrix:
        printing.lines(_together(found.answer, on, tree=view.tree))
    else:
        about = found.answer.measurement
        if about is not None:
            printing.lines([on.bold(heading(about, on)), ""])
        took_s = about.took_ms / 1000 if about and about.took_ms is not None else None
        printing.lines(result.result(found.answer, on, took_s=took_s, full=view.full))
        _fate(settings, found)
        if not view.full:
            _hint([found])
    return _ended([found.answer])


def _together(found: Answer, on: TextOutput, *, tree: bool) -> list[str]:
    """The paths of all colos to each target."""
    from .views import paths  # slow to import

    draw = paths.as_tree if tree else paths.as_matrix
    return [line for target in found.rows for line in (*draw(target, on), "")][:-1]


def _fate(settings: Settings, traced: Traced) -> None:
    """Print what bad rows have in common."""
    on = printing.output()
    for sentence in fates.sentences(settings, traced):
        printing.lines(words(on.text(sentence, most=500), on))


def _hint(done: Sequence[Traced]) -> None:
    """Say how to see the paths that were left out."""
    hidden = [
        each for each in done if sum(len(target.colos) for target in each.answer.rows) > result.FEW
    ]
    if hidden:
        ids = " ".join(each.id for each in hidden[:1] if each.id)
        printing.flush()  # the note comes after the result also in one file
        printing.note(f"to see all paths: {f'colotrace show {ids} --full' if ids else '--full'}")


def _ended(found: Sequence[Answer]) -> Ended:
    rows = [target for each in found for target in each.rows]
    return Ended(result.failed_rows(rows), result.unreached_rows(rows))
