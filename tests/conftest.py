"""Fixtures that several kinds of tests share."""

import gc
import signal

import hypothesis
import pytest
from lab.fixtures import lab, limited_lab

__all__ = ["lab", "limited_lab"]

# A busy machine makes any example slow; the whole test has pytest's own limit.
hypothesis.settings.register_profile(
    "colotrace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("colotrace")

# Until all tests are collected nothing that is made is garbage.
gc.disable()

# A shell starts background jobs with SIGINT ignored, and every child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has groups of tests stay together: pytest 9.2 no longer looks where pytest-xdist 3.8 writes
    a group's name."""
    for item in items:
        grouped = getattr(item, "_nodeid", item.nodeid)
        if grouped != item.nodeid:
            item._id = type(item.id).parse(grouped)


def pytest_collection_finish() -> None:
    """The garbage collector is on from here, and does not look at what collecting made."""
    gc.freeze()
    gc.enable()
