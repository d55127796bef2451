"""How large everything is that an object of the agent holds, found by looking, not by name."""

import enum
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

_CONTAINERS = (dict, list, set, frozenset, deque)


def sizes(root: object) -> Counter[str]:
    """Return the number of entries of each container within, by the path of attributes there.

    Containers at the same path, of several objects of one kind, are taken together.
    """
    found: Counter[str] = Counter()
    known: set[int] = set()
    waiting: list[tuple[str, Any]] = [(type(root).__name__, root)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in known or isinstance(value, enum.Enum):
            continue
        known.add(id(value))
        if isinstance(value, _CONTAINERS):
            found[path] += len(value)
            waiting += [(f"{path}[]", each) for each in _within(value)]
        elif type(value).__module__.startswith("colotrace_agent."):
            waiting += [(f"{path}.{name}", each) for name, each in _attributes(value)]
    return found


def _within(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, Mapping) else container


def _attributes(value: Any) -> list[tuple[str, Any]]:
    if hasattr(value, "__dict__"):
        return list(vars(value).items())
    return [(name, getattr(value, name)) for name in getattr(type(value), "__slots__", ())]
