"""From the colos that a request names to the colos that answer it."""

from collections.abc import Sequence

from colotrace_proto.messages import ColoName

from colotrace_coordinator.model import ColoStatus

from .errors import UnknownColosError


def choose(asked: Sequence[str], known: Sequence[ColoStatus]) -> tuple[ColoName, ...]:
    """Full names in the answer's order, each once: as asked, a code's colos by name; none asked
    means all, by name.

    Raises:
        UnknownColosError: some that were asked for are neither a colo's name nor a code.
    """
    names = sorted(status.name for status in known)
    if not asked:
        return tuple(names)
    meant: dict[str, list[ColoName]] = {}
    for name in names:
        meant.setdefault(name.lower().rstrip("0123456789"), []).append(name)
    # After the codes: a full name is that one colo, whatever else it could be the code of.
    meant.update({name.lower(): [name] for name in names})

    unknown = [n for n, word in enumerate(asked) if word.lower() not in meant]
    if unknown:
        raise UnknownColosError(unknown)
    return tuple(dict.fromkeys(name for word in asked for name in meant[word.lower()]))
