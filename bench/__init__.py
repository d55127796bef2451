"""What colotrace costs, measured beside other tracers on the same paths: `python -m bench`.

    session.py    places that are made once and shared, how many runs, progress
    places.py     where a path is: kernel routers, or a world with round trips as drawn
    stack.py      the programs on a place, and a client
    driver.py     a small process inside a namespace (`inside.py`), so that nothing else is timed
    rows/         one file a subject; each says what it measures and gives figures
    figures.py    samples and what is said of them
    report.py     the table, results.json and results.md
    responder/    a network in user space that is never the limit: `python -m bench.responder`
    accuracy/     how right reported round trips are: `python -m bench.accuracy`

Nothing here is asserted by a test, and nothing of it ships.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The lab, the fleet and the worlds are the tests' own.
sys.path.insert(0, str(ROOT / "tests"))
