"""A real broker on the loopback interface."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from fleet import Broker
from lab import Lab, Process


class Loopback:
    """The lab's interface for a broker that needs no lab."""

    management_address = "127.0.0.1"

    def spawn(self, host: None, argv: Sequence[str | Path], **streams: Any) -> Process:  # noqa: ARG002
        """Start a program, which the caller stops."""
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        environment = {**os.environ, "PATH": path}
        return Process([str(word) for word in argv], env=environment, **streams)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A Mosquitto without access control."""
    with Broker(cast(Lab, Loopback())) as broker:
        yield broker
