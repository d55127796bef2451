"""Resolves the names and codes in a request to colos."""

from collections.abc import Sequence
from itertools import islice

from colotrace_proto.messages import ColoName

from colotrace_coordinator.api.errors import MAX_ERRORS, UnknownColosError
from colotrace_coordinator.colo_names import ColoNames


def choose(asked: Sequence[str], known: ColoNames) -> tuple[ColoName, ...]:
    """The full names of the chosen colos, without duplicates, in the order of the answer.

    They are in the order of the request, and the colos of a code by name. An empty request means
    all colos, by name.

    Raises:
        UnknownColosError: an entry is neither a colo's name nor a code.
    """
    if not asked:
        return tuple(known)
    # A word may be repeated, and a code means many colos.
    meant = {word: known.meant(word) for word in dict.fromkeys(word.lower() for word in asked)}
    if not all(meant.values()):
        unknown = (n for n, word in enumerate(asked) if not meant[word.lower()])
        raise UnknownColosError(list(islice(unknown, MAX_ERRORS)))
    return tuple(dict.fromkeys(name for names in meant.values() for name in names))
