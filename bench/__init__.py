"""What colotrace costs, measured beside other tracers on the same paths: `python -m bench`.

    session.py    places that are made once and shared, how many runs, progress
    places.py     where a path is: kernel routers, or the responder with round trips as drawn
    peers.py      the other tracers; libraries among them run in `inside_library.py`
    stack.py      the programs on a place, a broker, and a client
    driver.py     a small process inside a namespace, so that nothing else is timed: `inside.py`
                  starts programs, `inside_engine.py` and `inside_agent.py` have colotrace warm,
                  `inside_fleet.py` is many agents without traces, `inside_load.py` many clients
    rows/         one file a subject; each says what it measures and gives figures
    figures.py    samples and what is said of them
    report.py     the table, results.json and results.md; plot.py the drawing
    responder/    a network in user space that is never the limit: `python -m bench.responder`
    foreign/      TCP traffic of other connections
    accuracy/     how right reported round trips are: `python -m bench.accuracy`

Nothing here is asserted by a test, and nothing of it ships.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The lab, the fleet and the worlds are the tests' own.
sys.path.insert(0, str(ROOT / "tests"))
