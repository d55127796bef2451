"""The payload of a probe: steering, then its tag.

The two bytes of steering compensate the probe's other fields, so that the checksum has the wanted
value. The tag is a keyed field (`marks`). Routers that quote more than 8 bytes quote it, and
targets echo it.
"""

from colotrace_agent.marks import TAG_BYTES

STEERING_AT, TAG_AT = 0, 2

PAYLOAD = bytes(TAG_AT + TAG_BYTES) + b"colotr"
"""An empty payload. Its end names the sender, and differs from the zeros that pad a quote."""

_NONE = bytes(TAG_BYTES)
_TAG_END = TAG_AT + TAG_BYTES


def tag_in(payload: bytes) -> bytes | None:
    """The tag in a quoted or echoed payload; None if the payload was cut before the tag's end, or
    a router has overwritten the tag with zeros."""
    tag = payload[TAG_AT : TAG_AT + TAG_BYTES]
    return tag if len(tag) == TAG_BYTES and tag != _NONE else None


def cut_of(payload: bytes) -> bytes:
    """The start of steering and tag, if the payload ends, or is padded with zeros, before the tag's
    end; empty if the tag is whole."""
    if len(payload) >= _TAG_END and payload[_TAG_END - 1]:
        return b""
    return payload[:_TAG_END].rstrip(b"\0")
