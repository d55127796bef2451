"""The names of the known colos, and what a name or a code in a request means.

Kept as an index, since every request asks: its cost does not grow with the number of colos.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence

from colotrace_proto.messages import ColoName


class ColoNames:
    """A set of names, sorted, with an index by code: the letters of a name, before its digits."""

    def __init__(self, names: Iterable[ColoName] = ()) -> None:
        self._all: list[ColoName] = []
        self._of_code: dict[str, list[ColoName]] = {}
        self._names: dict[str, list[ColoName]] = {}
        for name in sorted(names):
            self.add(name)

    def __iter__(self) -> Iterator[ColoName]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def add(self, name: ColoName) -> None:
        """Add a name; one that is there already is ignored."""
        if name not in self._names:
            self._names[name] = [name]
            insort(self._all, name)
            insort(self._of_code.setdefault(_code(name), []), name)

    def discard(self, name: ColoName) -> None:
        """Remove a name; one that is not there is ignored."""
        if self._names.pop(name, None) is None:
            return
        code = _code(name)
        for names in (self._all, self._of_code[code]):
            del names[bisect_left(names, name)]
        if not self._of_code[code]:
            del self._of_code[code]

    def meant(self, word: str) -> Sequence[ColoName]:
        """The names that a word means, which is a name or a code: none if it is neither, and those
        of a code sorted. Case does not matter."""
        word = word.lower()
        return self._names.get(word) or self._of_code.get(word) or ()


def _code(name: ColoName) -> str:
    return name.rstrip("0123456789")
