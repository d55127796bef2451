"""Which environment variables the two programs take, asked of the programs themselves."""

import os
import re
import subprocess
import sys
from functools import cache


@cache
def known(program: str, command: str) -> frozenset[str]:
    """The variables of a command, from its --help: one for each flag."""
    done = subprocess.run(
        [sys.executable, "-c", f"from {program}.main import main; main()", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )
    return frozenset(re.findall(r"\bCOLOTRACE_[A-Z][A-Z0-9_]*", done.stdout))


AGENT = ("colotrace_agent", "run")
TRACE = ("colotrace_agent", "trace")
COORDINATOR = ("colotrace_coordinator", "serve")
