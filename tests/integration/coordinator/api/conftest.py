"""The application of the unit tests, behind a real server on the product's event loop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from unit.coordinator.api.conftest import credentials, history, make_app, ready, tracer

__all__ = ["credentials", "history", "make_app", "ready", "tracer"]


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
