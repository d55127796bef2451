"""How many connections there may be, and whose place a new one takes."""

from colotrace_coordinator.api.http.open_connections import OpenConnections


class Line:
    def __init__(self) -> None:
        self.open = True

    def evict(self) -> None:
        self.open = False


def open_connections(most: int = 3, each: int = 2) -> OpenConnections:
    return OpenConnections(most=most, most_per_address=each, most_refused=1)


def enter(into: OpenConnections, key: str | None, *, busy: bool = False) -> Line | None:
    if not into.has_room(key):
        return None
    line = Line()
    into.enter(line, key)
    if busy:
        into.busy(line)
    return line


def test_idle_connection_of_the_same_address_makes_room() -> None:
    counted = open_connections()
    other, first, second = enter(counted, "b"), enter(counted, "a"), enter(counted, "a")
    assert enter(counted, "a")
    assert other
    assert first
    assert second
    assert (other.open, first.open, second.open) == (True, False, True)
    assert len(counted) == 3


def test_idle_for_longest_makes_room() -> None:
    counted = open_connections(most=2)
    first, second = enter(counted, "a"), enter(counted, "b")
    assert first
    assert second
    counted.busy(first)
    counted.idle(first)
    assert enter(counted, "c")
    assert (first.open, second.open) == (True, False)


def test_one_that_gives_way_makes_room_first() -> None:
    """In all and of its address, though others have been idle for longer."""
    counted = open_connections(most=3, each=3)
    other, first, second = enter(counted, "b"), enter(counted, "a"), enter(counted, "a")
    assert other
    assert first
    assert second
    counted.idle(second, gives_way=True)
    assert enter(counted, "a")
    assert (other.open, first.open, second.open) == (True, True, False)
    counted.idle(first, gives_way=True)
    assert enter(counted, "c")
    assert (other.open, first.open) == (True, False)


def test_running_requests_are_not_evicted() -> None:
    counted = open_connections()
    held = [enter(counted, "a", busy=True), enter(counted, "a", busy=True)]
    assert enter(counted, "a") is None
    assert enter(counted, "b", busy=True)
    assert enter(counted, "c") is None
    assert all(line and line.open for line in held)


def test_proxy_counts_in_all_alone() -> None:
    counted = open_connections(most=5)
    assert all(enter(counted, None, busy=True) for _ in range(5))
    assert enter(counted, None) is None


def test_refused_ones_are_bounded_and_everything_is_forgotten() -> None:
    counted = open_connections()
    line = Line()
    assert counted.has_room_to_refuse()
    counted.enter(line, "a", refused=True)
    assert not counted.has_room_to_refuse()
    for _ in range(2):  # the second time is no matter
        counted.leave(line)
    counted.idle(line)
    assert counted.has_room_to_refuse()
    assert (len(counted), counted.close_an_idle_one(), vars(counted)["_addresses"]) == (
        0,
        False,
        {},
    )


def test_a_refused_one_makes_no_room() -> None:
    """It counts apart: a new one does not come in by closing it."""
    counted = open_connections(most=2)
    assert enter(counted, "a", busy=True)
    assert enter(counted, "b", busy=True)
    refused = Line()
    counted.enter(refused, "c", refused=True)
    assert enter(counted, "d") is None
    assert (refused.open, len(counted), counted.has_room_to_refuse()) == (True, 2, False)
    counted.idle(refused)
    assert enter(counted, "d") is None
    counted.leave(refused)
    assert counted.has_room_to_refuse()
