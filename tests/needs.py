"""What a test needs of its host."""

import os
import shutil

import pytest

NEEDS_MOUNTS = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="mounts in a namespace of its own: needs root and util-linux",
)


def need(missing: str | None) -> None:
    """Skip the test with the reason, or fail it with `CI` set. None: nothing is missing."""
    if missing and os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)
