"""Fixtures that several kinds of tests share."""

import gc
import signal
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest
import structlog
from lab.fixtures import lab, limited_lab, own_lab

__all__ = ["lab", "limited_lab", "own_lab"]

# A busy machine makes any example slow; the whole test has pytest's own limit.
hypothesis.settings.register_profile(
    "colotrace",
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("colotrace")

# As a program would: structlog's default colours each traceback by rich, which takes a second.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

# Until all tests are collected nothing that is made is garbage.
gc.disable()

# A shell starts background jobs with SIGINT ignored, and every child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Prepares items for pytest-xdist, whose workers take them in this order."""
    for item in items:
        # pytest 9.2 no longer looks where pytest-xdist 3.8 writes a group's name.
        grouped = getattr(item, "_nodeid", item.nodeid)
        if grouped != item.nodeid:
            item._id = type(item.id).parse(grouped)
    if hasattr(config, "workerinput"):
        items[:] = spread(items)


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """The items, those of each module distributed evenly over the whole run.

    Some modules wait for most of their time and others compute: side by side they use all cores.
    """
    modules: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        modules[item.path].append(item)
    placed = [
        (number / len(module), item)
        for module in modules.values()
        for number, item in enumerate(module)
    ]
    return [item for _, item in sorted(placed, key=lambda place: place[0])]


def pytest_collection_finish() -> None:
    """The garbage collector is on from here, and does not look at what collecting made."""
    gc.freeze()
    gc.enable()
