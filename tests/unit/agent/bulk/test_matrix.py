"""Rows of a matrix are what the writers write, byte by byte."""

import numpy as np
import pytest
from colotrace_agent.bulk.flows import ManyIdentities, rows_of
from colotrace_agent.bulk.matrix import MatrixWriter
from colotrace_agent.model import TraceSpec
from colotrace_agent.packets.formats import writer_for
from colotrace_proto.messages import Family, PacketType
from hypothesis import given
from hypothesis import strategies as st
from unit.agent.made import TYPES


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("packet_type", TYPES)
@given(data=st.data())
def test_rows_equal_the_packets_of_writers(
    packet_type: PacketType, family: Family, data: st.DataObject
) -> None:
    """Of flows with any addresses and secrets, in any order."""
    size = 4 if family is Family.IPV4 else 16
    addresses = st.binary(min_size=size, max_size=size)
    identities = ManyIdentities(secret=data.draw(st.binary(min_size=32, max_size=32)))
    matrix = MatrixWriter(packet_type, family, lines=4)
    spec = TraceSpec(bytes(size), packet_type, port=data.draw(st.integers(0, 65_535)))
    # Of these, two begin together.
    lines_of = [[0], [1, 3], [2]]
    flows = {}
    for lines in lines_of:
        targets = data.draw(st.lists(addresses, min_size=len(lines), max_size=len(lines)))
        sources = data.draw(st.lists(addresses, min_size=len(lines), max_size=len(lines)))
        made, _ = identities.allocate(
            spec, rows_of(targets), rows_of(sources), reserve=lambda _: True, now=1
        )
        matrix.begin(np.array(lines), made)
        flows |= {line: made.flow(row) for row, line in enumerate(lines)}
    probes = st.tuples(st.integers(0, 3), st.integers(0, 44), st.integers(1, 64))
    chosen = data.draw(st.lists(probes, min_size=1, max_size=8))
    lines, ordinals, ttls = (np.array(column) for column in zip(*chosen, strict=True))
    tags = [flows[line].marks.tag(ordinal) for line, ordinal, _ in chosen]
    written = matrix.write(
        lines,
        ordinals,
        ttls,
        tags=np.frombuffer(b"".join(tags), np.uint8).reshape(-1, 8),
        ip_ids=np.array([flows[line].marks.ip_ids[ordinal] for line, ordinal, _ in chosen]),
    )
    for row, (line, ordinal, ttl) in zip(written, chosen, strict=True):
        assert row.tobytes() == bytes(writer_for(flows[line]).write(ordinal, ttl))
