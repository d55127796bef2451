"""The routes of what measurements show: the merged graph of one, and the difference of two."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from colotrace_analysis.merging import By
from colotrace_proto.measured import Measured
from colotrace_proto.messages import MAX_TARGET
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import READ, Access
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.errors import NoMeasurementError
from colotrace_coordinator.api.reading import Reading, rows_held
from colotrace_coordinator.api.request.listing import Parameters, one_of
from colotrace_coordinator.measurements.shapes import SummaryShape
from colotrace_coordinator.model import Measurements


class PathRoutes:
    """GET …/traceroute/{id}/graph and GET …/traceroute/{a}/diff/{b}."""

    def __init__(self, measurements: Measurements, *, access: Access, reading: Reading) -> None:
        self._measurements = measurements
        self._access = access
        self._reading = reading

    async def graph(self, request: Request) -> Response:
        """The paths of a measurement, merged over its colos."""
        account_id = await self._access.identify(request, any_of=READ)
        read = Parameters(request.query_params)
        target = read.text("target", most=MAX_TARGET)
        by = read.one("by", By, one_of(By))
        read.check()
        measurement_id = request.path_params["id"]
        async with self._measured(account_id, measurement_id) as (measured,):
            if target:
                read.among("target", target, measured.summary.targets)
                read.check()
            graph = await self._measurements.graph(
                measured, target=target or None, by=by or By.ADDRESS
            )
            return answer(graph, info=SummaryShape.of(measured.summary))

    async def diff(self, request: Request) -> Response:
        """What differs between a measurement and a later one."""
        account_id = await self._access.identify(request, any_of=READ)
        Parameters(request.query_params).check()
        both = [request.path_params[name] for name in ("id", "other")]
        async with self._measured(account_id, *both) as (before, after):
            return answer(await self._measurements.diff(before, after))

    @asynccontextmanager
    async def _measured(self, account_id: str, *ids: str) -> AsyncIterator[list[Measured]]:
        """These measurements, for as long as they are needed."""
        rows = 0
        for each in ids:
            summary = await self._measurements.find(account_id, each)
            if summary is None:
                raise NoMeasurementError
            rows += rows_held(summary)
        with self._reading.enter(account_id, rows):
            found = [await self._measurements.measured(account_id, each) for each in ids]
            measured = [each for each in found if each is not None]
            if len(measured) < len(ids):  # one was removed meanwhile
                raise NoMeasurementError
            yield measured
