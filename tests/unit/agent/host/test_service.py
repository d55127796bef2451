"""The state of the systemd unit that runs the agent, as it is printed."""

import pytest
from colotrace_agent.host import service


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("#COLOTRACE_COLO=den01\nCOLOTRACE_TAG=provider=x\n", ""),
        ("COLOTRACE_COLO=\n", ""),
        ("COLOTRACE_TAG=provider=x\n COLOTRACE_COLO=den01\n", "COLOTRACE_COLO"),
        ("COLOTRACE_TLS_CA=/etc/colotrace/ca.pem\n", "COLOTRACE_TLS_CA"),
    ],
)
def test_settings_that_say_who_the_agent_is_are_found(tmp_path, text, expected):
    file = tmp_path / "agent.env"
    file.write_text(text)
    assert service.other_identity(file) == expected


def test_no_settings_say_nothing(tmp_path):
    assert service.other_identity(tmp_path / "agent.env") == ""
