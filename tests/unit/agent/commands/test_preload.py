"""What is imported before the agent may be unable to read its installation."""

import subprocess
import sys

import pytest

WATCHED = """
import sys
from colotrace_agent.commands import preload
preload.{ahead}()
def late(event, args):
    if event == "import":
        raise SystemExit(f"late import: {{args[0]}}")
from colotrace_proto import hostnames, layout
sys.addaudithook(late)
{used}
"""


@pytest.mark.parametrize(
    ("ahead", "used"),
    [
        ("for_many", "layout.Paper(30).fit('x' * 99, 29)"),
        ("for_tables", "layout.Paper(30).fit('例え' * 99, 29)"),
        ("for_names", "hostnames.to_ascii('例え.example')"),
    ],
)
def test_nothing_is_imported_later(ahead: str, used: str) -> None:
    """The status line's cut, a table's names, a name that is not ASCII."""
    code = WATCHED.format(ahead=ahead, used=used)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
