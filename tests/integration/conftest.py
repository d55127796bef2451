"""A real broker on the loopback, for what cannot be shown without."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from fleet import Broker
from lab import Lab, Process


class Loopback:
    """As much of a lab as a broker needs: none."""

    management_address = "127.0.0.1"

    def spawn(self, host: None, argv: Sequence[str | Path], **streams: Any) -> Process:  # noqa: ARG002
        """Start a program; whoever holds it stops it."""
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        environment = {**os.environ, "PATH": path}
        return Process([str(word) for word in argv], env=environment, **streams)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A Mosquitto that lets in whoever comes."""
    with Broker(cast(Lab, Loopback())) as broker:
        yield broker
