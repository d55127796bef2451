"""What the agent logs."""

import pytest
from integration.agent.link.broker_side import Said


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)
