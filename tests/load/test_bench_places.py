"""What the benchmarks stand on comes up, so that a change elsewhere breaks none of them."""

import sys
from pathlib import Path

import pytest
from scenario.tun import tun_missing

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench.places import Delays


def test_the_delayed_path_comes_up() -> None:
    """A world behind a TUN device, with names, and programs that run in it."""
    reason = tun_missing()
    if reason:
        pytest.skip(reason)
    with Delays() as place:
        assert place.hops == 15
        ping = place.spawn()(["ping", "-n", "-c", "1", "-W", "1", place.target])
        assert ping.wait(10) == 0
