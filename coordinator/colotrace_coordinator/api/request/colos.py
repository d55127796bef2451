"""Resolves the entries of a request's `colos` to colos: names and codes unite, selectors narrow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from heapq import merge
from itertools import islice

from colotrace_proto.codes import Code
from colotrace_proto.messages import ColoName

from colotrace_coordinator.api.errors import MAX_ERRORS, UnknownColosError
from colotrace_coordinator.colos.known import KnownColos
from colotrace_coordinator.colos.selectors import (
    Limit,
    Selector,
    SelectorError,
    UnknownSelectorError,
    is_selector,
    selector_of,
    shown,
)
from colotrace_coordinator.model import Message

MAX_SELECTORS = 16

_Fault = tuple[int, Message]
"""A fault and the position of its entry."""


def choose(asked: Sequence[str], known: KnownColos) -> tuple[ColoName, ...]:
    """The full names of the chosen colos, without duplicates, in the order of the answer.

    They are in the order of the request, and the colos of a code by name. Without names and codes,
    all colos are candidates, by name. All selectors hold together; a limit is applied last.

    Raises:
        UnknownColosError: an entry means no colo, or is a malformed selector.
    """
    words = {n: entry.lower() for n, entry in enumerate(asked) if not is_selector(entry)}
    entries = {n: entry for n, entry in enumerate(asked) if is_selector(entry)}
    # A word may be repeated, and a code means many colos.
    meant = {word: known.meant(word) for word in dict.fromkeys(words.values())}
    unknown: Iterator[_Fault] = (
        (n, Message(Code.UNKNOWN_COLO, "Colo is not a valid colo", _pointer(n)))
        for n, word in words.items()
        if not meant[word]
    )
    selectors, malformed = _parsed(entries)
    if malformed or not all(meant.values()):
        _refuse(merge(unknown, malformed))
    united = tuple(dict.fromkeys(name for names in meant.values() for name in names))
    if not selectors:
        return united if words else tuple(known)
    return _narrowed(united if words else None, selectors, entries, known)


def _parsed(entries: Mapping[int, str]) -> tuple[dict[int, Selector], list[_Fault]]:
    """The selectors by position, and the malformed ones."""
    selectors: dict[int, Selector] = {}
    faults: list[_Fault] = []
    for n, entry in islice(entries.items(), MAX_SELECTORS):
        try:
            selectors[n] = selector_of(entry)
        except SelectorError as error:
            unknown = isinstance(error, UnknownSelectorError)
            code = Code.UNKNOWN_COLO if unknown else Code.SCHEMA
            faults.append((n, Message(code, f"colos[{n}]: {error}", _pointer(n))))
    for n in islice(entries, MAX_SELECTORS, MAX_SELECTORS + 1):
        text = f"colos has more than {MAX_SELECTORS} selectors"
        faults.append((n, Message(Code.SCHEMA, text, _pointer(n))))
    return selectors, faults


def _narrowed(
    named: Sequence[ColoName] | None,
    selectors: Mapping[int, Selector],
    entries: Mapping[int, str],
    known: KnownColos,
) -> tuple[ColoName, ...]:
    """Those of the named colos (None: of all) that every selector selects."""
    matching = {n: known.matching(s) for n, s in selectors.items() if not isinstance(s, Limit)}
    limits = {n: s.most for n, s in selectors.items() if isinstance(s, Limit)}
    alone = (
        (n, f"No colo matches {shown(entries[n])}") for n, them in matching.items() if not them
    )
    _refuse((n, Message(Code.UNKNOWN_COLO, text, _pointer(n))) for n, text in alone)
    left: Set[ColoName] | None = None if named is None else set(named)
    for n, them in matching.items():
        left = them if left is None else them & left
        if not left:
            text = f"No colo that is left by the other entries matches {shown(entries[n])}"
            _refuse([(n, Message(Code.UNKNOWN_COLO, text, _pointer(n)))])
    chosen: Set[ColoName] = set(known) if left is None else left
    if limits:
        chosen = known.spread(chosen, min(limits.values()))
    if not chosen:
        n = min(limits)
        _refuse([(n, Message(Code.UNKNOWN_COLO, "No colo is known", _pointer(n)))])
    return tuple(name for name in (named or sorted(chosen)) if name in chosen)


def _refuse(faults: Iterable[_Fault]) -> None:
    """Raise if there is a fault.

    Raises:
        UnknownColosError: with the faults, up to a bound.
    """
    if first := [message for _, message in islice(faults, MAX_ERRORS)]:
        raise UnknownColosError(first)


def _pointer(position: int) -> str:
    return f"/colos/{position}"
