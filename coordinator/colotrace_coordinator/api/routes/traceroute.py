"""The route that measures: the checks in the contract's order, then the fan-out."""

import asyncio
import time
from contextlib import ExitStack

from colotrace_formats.negotiation import Live
from colotrace_proto.codes import Code
from colotrace_proto.deadlines import LATEST_S
from colotrace_proto.rows import TargetRow
from colotrace_proto.running import TimeLimit
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import WRITE, Access
from colotrace_coordinator.api.audited import Auditor
from colotrace_coordinator.api.context import CLIENT_GONE, context_of
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.errors import NoMeasurementError, describe
from colotrace_coordinator.api.measure import Admission, measure
from colotrace_coordinator.api.representation import represent, wanted
from colotrace_coordinator.api.request.body import read_json_bytes
from colotrace_coordinator.api.request.colos import choose
from colotrace_coordinator.api.request.parsing import parse
from colotrace_coordinator.api.streams import Streams, stream_of
from colotrace_coordinator.measurements.shapes import SummaryShape
from colotrace_coordinator.model import Measurements, Message, Tracer, TraceRequest
from colotrace_coordinator.store.audit import Action

NO_COLO = Message(
    Code.ROW_FAILED,
    "No colo is known, since no agent has ever attached; start one with: "
    "colotrace-agent run --coordinator HOST:PORT --colo den01 --city CITY",
    "/result",
)


class Traceroute:
    """POST …/diagnostics/traceroute."""

    def __init__(
        self,
        tracer: Tracer,
        measurements: Measurements,
        *,
        access: Access,
        audit: Auditor,
        admission: Admission,
        streams: Streams,
        within_s: float = LATEST_S,
        limit: TimeLimit = asyncio.timeout,
    ) -> None:
        self._tracer = tracer
        self._measurements = measurements
        self._streams = streams
        self._access = access
        self._audit = audit
        self._admission = admission
        self._within_s = within_s
        self._limit = limit

    async def post(self, request: Request) -> Response:
        """Measure, and answer."""
        account_id = await self._access.identify(request, any_of=WRITE)
        form = wanted(request)
        body = parse(await read_json_bytes(request))
        colos = choose(body.colos, self._tracer.known_colos)
        # The client's deadline counts from the start of its request.
        context = context_of(request.scope)
        spent_s = time.monotonic() - context.began
        asked = TraceRequest(
            account_id,
            tuple(body.targets),
            colos,
            body.options.plain(),
            caller=context.credential_id or "",
            spent_s=spent_s,
        )
        if not colos:
            return answer([TargetRow(target=t, colos=[]) for t in asked.targets], [NO_COLO])
        status = CLIENT_GONE
        try:
            with ExitStack() as stack:
                stack.enter_context(self._admission.enter(account_id, asked.caller))
                left_s = self._within_s - spent_s
                if isinstance(form, Live):
                    response = await self._follow(request, asked, form, left_s, stack)
                    status = response.status_code
                    return response
                if prefers_async(request):
                    response = self._start(request, asked, left_s, stack)
                    status = response.status_code
                    return response
                got = await measure(
                    self._tracer, asked, request=request, within_s=left_s, limit=self._limit
                )
                status = 200
                headers = headers_of(request, got.measured.summary.id)
                return await represent(
                    got, form, request=request, headers=headers, until_sent=stack.pop_all()
                )
        except Exception as error:
            status = describe(error, path="").status
            raise
        finally:
            self._audit.record(
                request,
                Action.MEASURE,
                asked,
                measurement_id=context.measurement_id,
                status=status,
            )

    async def _follow(
        self,
        request: Request,
        asked: TraceRequest,
        form: Live,
        within_s: float,
        stack: ExitStack,
    ) -> Response:
        """Begin a measurement that goes on by itself, and follow it."""
        account_id = asked.account_id
        with ExitStack() as until_sent:
            until_sent.enter_context(self._streams.enter(account_id))
            ended = stack.pop_all().close
            summary = self._tracer.start(asked, within_s=within_s, ended=ended)
            feed = await self._measurements.feed(account_id, summary.id)
            if feed is None:  # it ended at once, and is not kept
                raise NoMeasurementError
            return stream_of(
                feed,
                form,
                streams=self._streams,
                until_sent=until_sent.pop_all(),
                headers=headers_of(request, summary.id),
            )

    def _start(
        self, request: Request, asked: TraceRequest, within_s: float, stack: ExitStack
    ) -> Response:
        """Begin a measurement that goes on by itself. It has its place until it ends."""
        summary = self._tracer.start(asked, within_s=within_s, ended=stack.pop_all().close)
        headers = {**headers_of(request, summary.id), "Preference-Applied": "respond-async"}
        return answer([], info=SummaryShape.of(summary), status=202, headers=headers)


def headers_of(request: Request, measurement_id: str) -> dict[str, str]:
    """Where the measurement of a POST is found; the audit is told, too."""
    context_of(request.scope).measurement_id = measurement_id
    path = request.scope["raw_path"].decode("ascii").rstrip("/")
    return {"Location": f"{path}/{measurement_id}", "Measurement-Id": measurement_id}


def prefers_async(request: Request) -> bool:
    """Whether the client prefers an answer at once (RFC 7240 section 4.1)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(each.partition(";")[0].strip() == "respond-async" for each in preferences)
