"""A flood of forged replies to the real sockets changes no row, fills no table, and is counted."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from colotrace_proto.notices import NoticeCode
from needs import need
from scenario.expectation import expected
from scenario.kinds import Protocol
from scenario.load import load
from scenario.tun import TunWorld, tun_missing

from forgery.flooded import FAMILIES

pytestmark = pytest.mark.tun

CASE = Path(__file__).parent / "flood.toml"
PACKETS = 40_000
# What is not kept of each packet cannot add up to this.
MOST_GROWN = 1_000_000
# Ends that were looked at anew, stamps on their way: what differs from one run to the next.
BY_CHANCE = 40
# Of a busy host, whose own time is not what is shown here.
SLACK_MS = 100_000


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    need(tun_missing())


def test_flood_over_sockets_fills_no_table_and_changes_no_row() -> None:
    """Traces of every packet type in both families, whose forger knows all but the secret.

    What is read of the flood is counted, packet by packet. What the host had no room for is said,
    and lost to no hop.
    """
    case = load(CASE)
    with TunWorld(case, *FAMILIES, path=CASE) as world:
        program = [sys.executable, "-m", "forgery.flooded", str(CASE), str(PACKETS)]
        done = world.run(program, timeout_s=110)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    undisturbed, flooded = told["undisturbed"], told["flooded"]

    families = [family for family in FAMILIES for _ in Protocol]
    for family, row in zip(families, flooded["rows"], strict=True):
        assert expected(case, family=family).faults(row, slack_ms=SLACK_MS) == []
    assert _timeless(flooded["rows"]) == _timeless(undisturbed["rows"])

    for when in ("under_way", "ended"):
        more = {path: size - undisturbed[when].get(path, 0) for path, size in flooded[when].items()}
        assert {path: size for path, size in more.items() if size > BY_CHANCE} == {}
    assert flooded["grown"] < MOST_GROWN

    assert (undisturbed["uncounted"], undisturbed["overflows"]) == (0, 0)
    assert (flooded["read"] > PACKETS, flooded["overflows_while_read"]) == (True, 0)
    assert flooded["uncounted"] == flooded["sent"]

    assert flooded["overflows"] > 0
    assert all(NoticeCode.QUEUE_OVERFLOW in codes for codes in flooded["notices"])
    assert not any(NoticeCode.QUEUE_OVERFLOW in codes for codes in undisturbed["notices"])


def _timeless(row: Any) -> Any:
    """A row, or a part of it, without what a clock has measured."""
    if isinstance(row, dict):
        return {name: _timeless(part) for name, part in row.items() if not name.endswith("_ms")}
    return [_timeless(part) for part in row] if isinstance(row, list) else row
