"""Resolves the names and codes in a request to colos."""

from collections.abc import Sequence
from itertools import islice

from colotrace_proto.messages import ColoName

from colotrace_coordinator.api.errors import MAX_ERRORS, UnknownColosError
from colotrace_coordinator.model import ColoStatus


def choose(asked: Sequence[str], known: Sequence[ColoStatus]) -> tuple[ColoName, ...]:
    """The full names of the chosen colos, without duplicates, in the order of the answer.

    They are in the order of the request, and the colos of a code by name. An empty request means
    all colos, by name.

    Raises:
        UnknownColosError: an entry is neither a colo's name nor a code.
    """
    names = [status.name for status in known]
    if not asked:
        return tuple(names)
    meant: dict[str, list[ColoName]] = {}
    for name in names:
        meant.setdefault(name.lower().rstrip("0123456789"), []).append(name)
    # After the codes: a full name takes precedence over an equal code.
    meant.update({name.lower(): [name] for name in names})

    unknown = islice((n for n, word in enumerate(asked) if word.lower() not in meant), MAX_ERRORS)
    if positions := list(unknown):
        raise UnknownColosError(positions)
    words = dict.fromkeys(word.lower() for word in asked)  # a code may be repeated
    return tuple(dict.fromkeys(name for word in words for name in meant[word]))
