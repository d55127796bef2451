"""Notices, and their sentences for peers of release 0.2, which send and read text alone.

This is the only place that knows of those texts. docs/protocol.md says until when.
"""

from collections.abc import Sequence

from colotrace_proto import messages as m
from colotrace_proto.notices import MAX_TEXT, Notice, NoticeCode, sentence
from colotrace_proto.text import safe
from colotrace_proto.v1 import fleet_pb2 as pb

from .checks import (
    PACKET_TYPES,
    PACKET_TYPES_IN,
    ProtocolError,
    are_addresses,
    families_in,
    fields_of,
    within,
)

_MAX_ADDRESSES = 16
_MAX_ERRORS = 64
_MAX_ERRNO = 4_095


def text_of(notice: Notice | None) -> str:
    """The text for a peer that reads no codes."""
    return "" if notice is None else sentence(notice)


def notice_out(notice: Notice | None) -> pb.Notice | None:
    """The notice; more parameters than the other side takes are left out."""
    if notice is None:
        return None
    kind = notice.packet_type
    converted = fields_of(
        notice,
        ttls=notice.ttls[: m.MAX_TTL],
        addresses=notice.addresses[:_MAX_ADDRESSES],
        name=safe(notice.name, most=MAX_TEXT),  # an interface's name may be no UTF-8
        reason=safe(notice.reason, most=MAX_TEXT),
        families=sorted(notice.families),
        errors=[pb.SendError(errno=e, count=n) for e, n in notice.errors[:_MAX_ERRORS]],
        packet_type=PACKET_TYPES[m.PacketType(kind)] if kind else pb.PACKET_TYPE_UNSPECIFIED,
    )
    return pb.Notice(**converted)


def notice_in(notice: pb.Notice | None, *, text: str = "") -> Notice | None:
    """The notice; the text of a peer that sends no codes; or None if there is neither."""
    if notice is None:
        return _text_in(text) if text else None
    if len(notice.ttls) > m.MAX_TTL or not within(notice.ttls, 1, m.MAX_TTL):
        raise ProtocolError("Notice.ttls is out of bounds")
    if len(notice.addresses) > _MAX_ADDRESSES or not are_addresses(notice.addresses):
        raise ProtocolError("Notice.addresses is out of bounds")
    errors = tuple((error.errno, error.count) for error in notice.errors[: _MAX_ERRORS + 1])
    if len(errors) > _MAX_ERRORS or not within([number for number, _ in errors], 1, _MAX_ERRNO):
        raise ProtocolError("Notice.errors is out of bounds")
    return Notice(
        code=notice.code,
        ttls=tuple(notice.ttls),
        addresses=tuple(notice.addresses),
        count=notice.count,
        least=notice.least,
        most=notice.most,
        name=safe(notice.name, most=MAX_TEXT),
        reason=safe(notice.reason, most=MAX_TEXT),
        families=tuple(sorted(families_in(notice.families, "Notice"))),
        errors=errors,
        packet_type=PACKET_TYPES_IN.get(notice.packet_type, ""),
    )


def notices_out(notices: Sequence[Notice]) -> tuple[list[pb.Notice], list[str]]:
    """The notices, and their texts for a peer that reads no codes."""
    sent = notices[: m.MAX_NOTICES]
    encoded = [wire for wire in map(notice_out, sent) if wire is not None]
    return encoded, [sentence(notice) for notice in sent]


def notices_in(notices: Sequence[pb.Notice], texts: Sequence[str]) -> tuple[Notice, ...]:
    """The notices; if there are none, the texts of a peer that sends no codes."""
    if not notices and not texts:
        return ()
    if max(len(notices), len(texts)) > m.MAX_NOTICES:
        raise ProtocolError(f"more than {m.MAX_NOTICES} notices in one message")
    found = map(notice_in, notices) if notices else map(_text_in, texts)
    return tuple(notice for notice in found if notice is not None)


def _text_in(text: str) -> Notice:
    return Notice(NoticeCode.TEXT, reason=safe(text, most=MAX_TEXT))
