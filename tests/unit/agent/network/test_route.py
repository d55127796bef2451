"""Many sources looked up by one socket are those that are found one by one."""

import contextlib
import errno
import re

import pytest
from colotrace_agent.network.route import SourceLookup, source_for

LOCAL = [bytes([127, 0, 0, 1]), bytes([127, 9, 9, 9])]
LOCAL_V6 = [bytes(15) + b"\x01"]
LINK_LOCAL = b"\xfe\x80" + bytes(13) + b"\x01"
BROADCAST = bytes([255] * 4)
ANY = bytes([1, 1, 1, 1])
ANY_V6 = b"\x26" + bytes(14) + b"\x01"


@pytest.mark.parametrize(
    "targets", [[*LOCAL, BROADCAST, ANY, *LOCAL], [*LOCAL_V6, LINK_LOCAL, ANY_V6, *LOCAL_V6]]
)
def test_sources_are_the_same(targets: list[bytes]) -> None:
    """Also those behind a target that cannot be sent to, and errors too."""
    with contextlib.closing(SourceLookup()) as lookup:
        for _ in range(2):
            found = lookup.sources_for(targets)
            assert len(found) == len(targets)
            for target, source in zip(targets, found, strict=True):
                if isinstance(source, OSError):
                    with pytest.raises(OSError, match=re.escape(source.strerror or "")) as raised:
                        source_for(target)
                    assert source.errno == raised.value.errno != errno.EBADF
                else:
                    assert source == source_for(target)
