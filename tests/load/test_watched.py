"""The cost of watchers, which `load.watched` measures."""

from load.watched import measure


def test_all_watchers_get_all_events_in_few_pieces() -> None:
    """By TLS. Events are merged to ten pieces a second."""
    cost = measure(20, rate=200, seconds=1.0, tls=True)
    assert cost.events == 201  # with the end
    assert cost.pieces <= 13
    assert cost.cpu_us > 0
