"""The payload of a probe: what makes its checksum come out as wanted, then its tag.

Two bytes of steering take up what the probe's other fields change in the checksum; the tag is a
keyed field (`marks`) that routers quote where they quote more than 8 bytes, and targets echo.
"""

from colotrace_agent.marks import TAG_BYTES

STEERING_AT, TAG_AT = 0, 2

PAYLOAD = bytes(TAG_AT + TAG_BYTES) + b"colotr"
"""A payload before anything is filled in; its end says who sent it, and is not taken for the zeros
that a quote is padded with."""

_NONE = bytes(TAG_BYTES)
_TAG_END = TAG_AT + TAG_BYTES


def tag_in(payload: bytes) -> bytes | None:
    """The tag that a quoted or echoed payload carries; None where it was cut before it, or where
    a router has filled the place with zeros."""
    tag = payload[TAG_AT : TAG_AT + TAG_BYTES]
    return tag if len(tag) == TAG_BYTES and tag != _NONE else None


def cut_of(payload: bytes) -> bytes:
    """What is left of steering and tag where the payload ends, or is filled with zeros, before the
    tag does; empty where the tag is whole."""
    if len(payload) >= _TAG_END and payload[_TAG_END - 1]:
        return b""
    return payload[:_TAG_END].rstrip(b"\0")
