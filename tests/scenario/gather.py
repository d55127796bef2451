"""From a job's frames to its row in the API's shape, as `colotrace-agent trace` makes it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from colotrace_proto import rows, tally
from colotrace_proto.messages import Failure, Frame, PacketType, Replies

LOCAL = rows.Colo(city="", name="local")
_CODES = {Failure.NONE: 0, Failure.SEND: 4}


def row_of(
    frames: Sequence[Frame], *, packet_type: PacketType, multipath: bool = False
) -> dict[str, Any]:
    """Return the row that the frames of a job of that packet type come to."""
    last = frames[-1]
    assert last.outcome is not None
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    replies = Replies()
    for frame in frames:
        replies = tally.merged((replies, frame.replies))
    gathered = tally.Gathered(
        target="target",
        colo=LOCAL,
        target_address=last.target_address,
        sent=last.sent,
        replies=replies,
        duration_ns=last.outcome.duration_ns,
        code=_CODES[last.outcome.failure],
        unplaced=last.outcome.unplaced,
        own_ends=tally.has_own_ends(packet_type, multipath=multipath),
        links=last.outcome.links if multipath else None,
    )
    (row,) = tally.colo_rows([gathered])
    built: dict[str, Any] = msgspec.to_builtins(row)
    return built
