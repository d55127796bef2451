"""What is imported before the agent may be unable to read its installation."""

import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
import sys
from colotrace_agent.commands import preload
preload.{ahead}()
def late(event, args):
    if event == "import":
        raise SystemExit(f"late import: {{args[0]}}")
import asyncio, os
from colotrace_agent.commands import targets
from colotrace_proto import hostnames, layout
async def read(file):
    return [target async for target in targets.Targets([], file)]
asyncio.run(asyncio.sleep(0))
sys.addaudithook(late)
{used}
"""


@pytest.mark.parametrize(
    ("ahead", "used"),
    [
        ("for_many", "layout.TextOutput(30).fit('x' * 99, 29)"),
        ("for_many", "asyncio.run(read(os.open({path!r}, os.O_RDONLY)))"),
        ("for_tables", "layout.TextOutput(30).fit('例え' * 99, 29)"),
        ("for_names", "hostnames.to_ascii('例え.example')"),
    ],
)
def test_nothing_is_imported_later(ahead: str, used: str, tmp_path: Path) -> None:
    """The status line's cut, a file in UTF-16, a table's names, a name that is not ASCII."""
    path = tmp_path / "targets"
    path.write_bytes("\ufeffone\n".encode("utf-16-le"))
    code = WATCHED.format(ahead=ahead, used=used.format(path=str(path)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_trace_loads_no_format_that_it_does_not_write() -> None:
    """A table and lines of JSON start as fast as if there were no other format."""
    code = (
        "import sys; from colotrace_agent.commands import shown, start_trace, trace;"
        "print([name for name in sys.modules if name.startswith('colotrace_formats')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
