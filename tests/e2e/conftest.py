"""A fleet for the tests of a module that only ask; those that break things make their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cloudflare import Cloudflare
from fleet import Fleet
from lab import Lab

_OPERATION = Path(__file__).parent.parent / "contract" / "operation.json"


@pytest.fixture(scope="session")
def fleet(lab: Lab) -> Iterator[Fleet]:
    """A coordinator, and an agent in each colo, all attached; nothing is stopped in it."""
    with Fleet(lab) as running:
        running.wait_attached()
        yield running


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Cloudflare]:
    """The official SDK, only its base URL changed; it does not ask twice."""
    with Cloudflare(base_url=fleet.base_url, api_token=fleet.token, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def check_answer() -> Callable[[Any], None]:
    """Holds an answer's body against the public OpenAPI operation."""
    operation = json.loads(_OPERATION.read_text())["operation"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft4Validator(schema)

    def check(body: Any) -> None:
        validator.validate(body)

    return check
