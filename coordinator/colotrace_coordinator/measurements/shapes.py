"""How the API shows a measurement without its rows."""

from datetime import UTC, datetime

import msgspec
from colotrace_proto.measured import Options, Summary


class OptionsShape(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a request, in its own names. `wait_time` is in seconds, `family` 0 if the
    agents choose."""

    max_ttl: int
    packet_type: str
    packets_per_ttl: int
    port: int
    wait_time: int
    multipath: bool
    family: int

    @classmethod
    def of(cls, options: Options) -> "OptionsShape":
        """The shape of some options."""
        return cls(
            max_ttl=options.max_ttl,
            packet_type=options.packet_type.value,
            packets_per_ttl=options.packets_per_ttl,
            port=options.port,
            wait_time=options.wait_ms // 1_000,
            multipath=options.multipath,
            family=options.family.value if options.family is not None else 0,
        )


class RowsShape(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of rows; see `Summary`."""

    asked: int
    finished: int
    failed: int
    unreached: int


class SummaryShape(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement. Times are RFC 3339 in UTC, None while it runs."""

    id: str
    status: str
    outcome: str
    began_at: str
    ended_at: str | None
    took_ms: int | None
    asked_by: str
    targets: tuple[str, ...]
    colos: tuple[str, ...]
    options: OptionsShape
    rows: RowsShape

    @classmethod
    def of(cls, summary: Summary) -> "SummaryShape":
        """The shape of a summary."""
        began, ended = summary.began_ms, summary.ended_ms
        return cls(
            id=summary.id,
            status=summary.status.value,
            outcome=summary.outcome.value,
            began_at=instant(began),
            ended_at=instant(ended) if ended is not None else None,
            took_ms=ended - began if ended is not None else None,
            asked_by=summary.caller,
            targets=summary.targets,
            colos=summary.colos,
            options=OptionsShape.of(summary.options),
            rows=RowsShape(
                asked=summary.rows,
                finished=summary.finished,
                failed=summary.failed,
                unreached=summary.unreached,
            ),
        )


def instant(at_ms: int) -> str:
    """A time of the API, RFC 3339 in UTC, of milliseconds of Unix time."""
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
