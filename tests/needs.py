"""What a test needs of its host."""

import os

import pytest


def need(missing: str | None) -> None:
    """Skip the test with the reason, or fail it with `CI` set. None: nothing is missing."""
    if missing and os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)
