"""The route that follows a measurement."""

from contextlib import ExitStack

from colotrace_formats.negotiation import Live
from colotrace_proto.measured import Status
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import READ, Access
from colotrace_coordinator.api.errors import NoMeasurementError
from colotrace_coordinator.api.reading import Reading, rows_held
from colotrace_coordinator.api.representation import wanted
from colotrace_coordinator.api.request.listing import Parameters
from colotrace_coordinator.api.streams import Streams, position_of, stream_of
from colotrace_coordinator.model import Measurements


class Events:
    """GET …/traceroute/{id}/events."""

    def __init__(
        self, measurements: Measurements, *, access: Access, streams: Streams, reading: Reading
    ) -> None:
        self._measurements = measurements
        self._access = access
        self._streams = streams
        self._reading = reading

    async def get(self, request: Request) -> Response:
        """The events so far, and those to come; lines of rows if the client prefers them."""
        account_id = await self._access.identify(request, any_of=READ)
        Parameters(request.query_params).check()
        form = wanted(request)
        if not isinstance(form, Live):
            form = Live.EVENTS
        last_event_id = request.headers.get("last-event-id", "")
        with ExitStack() as stack:
            stack.enter_context(self._streams.enter(account_id))
            summary = await self._measurements.find(account_id, request.path_params["id"])
            if summary is not None and summary.status is not Status.RUNNING:
                stack.enter_context(self._reading.enter(account_id, rows_held(summary)))
            feed = await self._measurements.feed(
                account_id, request.path_params["id"], position=position_of(last_event_id)
            )
            if feed is None:
                raise NoMeasurementError
            until_sent = stack.pop_all()
        return stream_of(
            feed,
            form,
            streams=self._streams,
            until_sent=until_sent,
            last_event_id=last_event_id,
        )
