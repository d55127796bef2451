"""From the colos that a request names to the colos that answer it."""

from collections.abc import Sequence
from itertools import islice

from colotrace_proto.messages import ColoName

from colotrace_coordinator.api.errors import MAX_ERRORS, UnknownColosError
from colotrace_coordinator.model import ColoStatus


def choose(asked: Sequence[str], known: Sequence[ColoStatus]) -> tuple[ColoName, ...]:
    """Full names in the answer's order, each once: as asked, a code's colos by name; none asked
    means all, by name.

    Raises:
        UnknownColosError: some that were asked for are neither a colo's name nor a code.
    """
    names = [status.name for status in known]
    if not asked:
        return tuple(names)
    meant: dict[str, list[ColoName]] = {}
    for name in names:
        meant.setdefault(name.lower().rstrip("0123456789"), []).append(name)
    # After the codes: a full name is that one colo, whatever else it could be the code of.
    meant.update({name.lower(): [name] for name in names})

    unknown = islice((n for n, word in enumerate(asked) if word.lower() not in meant), MAX_ERRORS)
    if positions := list(unknown):
        raise UnknownColosError(positions)
    words = dict.fromkeys(word.lower() for word in asked)  # a code may stand there many times
    return tuple(dict.fromkeys(name for word in words for name in meant[word]))
