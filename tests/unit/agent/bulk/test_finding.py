"""Lines are found by what answers name, also those that are in each other's way."""

import numpy as np
import pytest
from colotrace_agent.bulk import finding
from colotrace_agent.bulk.engine import BulkEngine
from colotrace_agent.bulk.flows import rows_of
from colotrace_agent.bulk.group import Group
from colotrace_agent.model import FlowKey, TraceSpec
from colotrace_agent.packets.formats import keys_of
from colotrace_proto.messages import PacketType
from unit.agent.made import TYPES

NOW = 9_000_000_000
MANY = 2_000


def begun(engine: BulkEngine, size: int) -> tuple[Group, np.ndarray]:
    targets = [bytes([203, 0, n // 256, n % 256]) + bytes(size - 4) for n in range(MANY)]
    sources = rows_of([bytes([192] * size)] * MANY)
    flows, _ = engine.allocate(rows_of(targets), sources, reserve=lambda _: True, now=NOW)
    return engine.start(flows, now=NOW)


@pytest.mark.parametrize("bits", [18, 8])
@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("packet_type", TYPES)
def test_each_line_is_found(
    packet_type: PacketType, size: int, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By target and identifier, in batches or alone. A line that has ended, or never was, is not
    found, whatever is in its slot."""
    monkeypatch.setattr(finding, "SLOT_BITS", bits)
    engine = BulkEngine(TraceSpec(bytes(size), packet_type, max_ttl=4, packets_per_ttl=1))
    group, lines = begun(engine, size)
    targets, identifiers = group.columns.targets[lines], group.columns.identifiers[lines]
    assert (group.columns.found.lines_of(targets, identifiers) == lines).all()
    for line in lines[:50].tolist():
        flow = group.columns.flow(line)
        assert flow is not None
        assert [group.columns.found.line_of(key) for key in keys_of(flow.key)] == [line] * len(
            keys_of(flow.key)
        )
    assert (group.columns.found.lines_of(targets, identifiers ^ 1) == -1).all()
    assert (group.columns.found.lines_of(targets ^ 0xFF, identifiers) == -1).all()
    ended, going_on = lines[::2], lines[1::2]
    group.ending.end(ended, NOW)
    found = group.columns.found.lines_of(targets, identifiers)
    assert (found[::2] == -1).all()
    assert (found[1::2] == going_on).all()
    assert group.columns.found.live.tolist() == sorted(going_on.tolist())
    key = FlowKey(packet_type, targets[0].tobytes(), int(identifiers[0]), group.columns.port)
    assert group.columns.found.line_of(key) is None
