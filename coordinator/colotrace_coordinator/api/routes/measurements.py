"""The routes of measurements: list, show, cancel or remove, and one row over time."""

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack

import msgspec
from colotrace_formats.formats import Format
from colotrace_proto import rows, tally
from colotrace_proto.measured import Measured, Status, Summary
from colotrace_proto.messages import MAX_TARGET, ColoName
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import READ, WRITE, Access
from colotrace_coordinator.api.audited import Auditor
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.errors import (
    InvalidBodyError,
    NoMeasurementError,
    UnreachableMeasurementError,
    schema_fault,
)
from colotrace_coordinator.api.reading import Reading, rows_held
from colotrace_coordinator.api.representation import represent, wanted_format
from colotrace_coordinator.api.request.listing import (
    Page,
    Parameters,
    listing,
    paging,
    word_of,
)
from colotrace_coordinator.measurements.replies import ReplyShape, replies_of
from colotrace_coordinator.measurements.shapes import SummaryShape
from colotrace_coordinator.model import Answer, Measurements
from colotrace_coordinator.store.audit import Action

MOST_REPLIES = 20_000
"""A page of rows with their replies ends with the row that reaches so many. One row has 8,192 at
most."""


class ListInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which part of a list it is. `cursor` is absent on the last page, `page` without numbers."""

    count: int
    per_page: int
    cursor: str = ""
    page: int = 0


class PairRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of one target and colo, and the measurement that it is of. `replies` only if they were
    asked for."""

    measurement: SummaryShape
    row: rows.ColoRow
    replies: list[ReplyShape] | UnsetType = UNSET


class MeasurementRoutes:
    """GET …/traceroute, GET and DELETE …/traceroute/{id}, GET …/traceroute/{id}/rows."""

    def __init__(
        self, measurements: Measurements, *, access: Access, audit: Auditor, reading: Reading
    ) -> None:
        self._measurements = measurements
        self._access = access
        self._audit = audit
        self._reading = reading

    async def list(self, request: Request) -> Response:
        """Measurements, newest first."""
        account_id = await self._access.identify(request, any_of=READ)
        wanted, page = listing(request.query_params)
        skip = max(page.page - 1, 0) * page.per_page
        found = await self._measurements.newest(
            account_id, wanted, before=page.before, skip=skip, most=page.per_page + 1
        )
        shown = found[: page.per_page]
        cursor = shown[-1].id if len(found) > len(shown) else ""
        return answer([SummaryShape.of(each) for each in shown], info=_info(shown, page, cursor))

    async def show(self, request: Request) -> Response:
        """One measurement with its rows, as far as it has come."""
        account_id = await self._access.identify(request, any_of=READ)
        form = wanted_format(request)
        measurement_id = request.path_params["id"]
        summary = await self._measurements.find(account_id, measurement_id)
        if summary is None:
            raise NoMeasurementError
        if summary.status is not Status.RUNNING:
            tag = _tag(summary, form)
            if _matches(request, tag):
                return Response(status_code=304, headers={"ETag": tag})
        with ExitStack() as stack:
            stack.enter_context(self._reading.enter(account_id, rows_held(summary)))
            got = await self._measurements.show(account_id, measurement_id)
            if got is None:  # it was removed meanwhile
                raise NoMeasurementError
            tag = _tag(got.measured.summary, form, got)
            if _matches(request, tag):
                return Response(status_code=304, headers={"ETag": tag})
            return await represent(
                got,
                form,
                request=request,
                headers={"ETag": tag, "Vary": "Accept"},
                until_sent=stack.pop_all(),
                info=SummaryShape.of(got.measured.summary),
            )

    async def delete(self, request: Request) -> Response:
        """Cancel a measurement that runs; remove one that has ended, unless `if=running`."""
        account_id = await self._access.identify(request, any_of=WRITE)
        measurement_id = request.path_params["id"]
        condition = request.query_params.get("if", "")
        if condition not in ("", "running"):
            raise InvalidBodyError([schema_fault("if must be running, or absent", "?if")])
        measurements = self._measurements
        cancelled = await measurements.cancel(account_id, measurement_id)
        summary = await measurements.find(account_id, measurement_id)
        if summary is None:
            raise NoMeasurementError
        if not cancelled and summary.status is Status.RUNNING:
            raise UnreachableMeasurementError
        removed = not cancelled and condition != "running"
        if removed:
            await measurements.remove(account_id, measurement_id)
        if cancelled or removed:
            action = Action.CANCEL if cancelled else Action.REMOVE
            self._audit.record(request, action, summary, measurement_id=measurement_id)
        return answer(SummaryShape.of(summary))

    async def rows(self, request: Request) -> Response:
        """The row of a target and a colo in this measurement and in earlier ones."""
        account_id = await self._access.identify(request, any_of=READ)
        summary = await self._measurements.find(account_id, request.path_params["id"])
        if summary is None:
            raise NoMeasurementError
        read = Parameters(request.query_params)
        target = read.chosen("target", summary.targets, most=MAX_TARGET)
        colo = read.chosen("colo", summary.colos, most=32)
        with_replies = read.one("replies", word_of("true", "false"), "must be true or false")
        page = paging(read, numbered=False)
        read.check()
        held = rows_held(summary, page.per_page + 1)
        with self._reading.enter(account_id, held):
            found = await self._measurements.pair(
                account_id,
                target,
                ColoName(colo),
                up_to=page.before or summary.id,
                most=page.per_page + 1,
            )
            result: list[PairRow] = []
            replies = shown = 0
            for each in found[: page.per_page]:
                if replies >= MOST_REPLIES:
                    break
                pairs = await _pair_rows(each, with_replies=with_replies == "true")
                replies += sum(len(pair.replies or ()) for pair in pairs)
                result += pairs
                shown += 1
            cursor = found[shown].summary.id if len(found) > shown else ""
            return answer(result, info=_info(found[:shown], page, cursor))


async def _pair_rows(measured: Measured, *, with_replies: bool) -> list[PairRow]:
    """The rows of a measurement of which only some were read. Of a multipath row, the statistics
    take milliseconds, and so do the replies: other requests have a turn after each."""
    traces = list(measured.traces.values())
    found = tally.colo_rows([trace.gathered for trace in traces], measured.known)
    await asyncio.sleep(0)
    told, multipath = SummaryShape.of(measured.summary), measured.summary.options.multipath
    pairs = []
    for row, trace in zip(found, traces, strict=True):
        replies: list[ReplyShape] | UnsetType = UNSET
        if with_replies:
            replies = replies_of(trace, multipath=multipath)
            await asyncio.sleep(0)
        pairs.append(PairRow(measurement=told, row=row, replies=replies))
    return pairs


def _info(shown: Iterable[object], page: Page, cursor: str) -> ListInfo:
    return ListInfo(count=len(list(shown)), per_page=page.per_page, cursor=cursor, page=page.page)


def _tag(summary: Summary, form: Format, answer: Answer | None = None) -> str:
    """The entity tag. What has ended does not change; what runs, with each reply, loss and name."""
    tag = f"{summary.id}-{form.name}-{summary.status}"
    if answer is not None and summary.status is Status.RUNNING:
        measured = answer.measured
        rows = [each.gathered for each in measured.traces.values()]
        replies, sent = sum(len(g.replies.ttl) for g in rows), sum(sum(g.sent) for g in rows)
        known = len(measured.known.names), len(measured.known.asns)
        tag += f"-{summary.finished}-{replies}-{sent}-{known[0]}-{known[1]}"
    # Weak, since the body may be compressed (RFC 9110 section 8.8.1).
    return f'W/"{tag}"'


def _matches(request: Request, tag: str) -> bool:
    """Whether the client has this (RFC 9110 section 13.1.2)."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in (each.strip() for each in given.split(","))
