"""Benchmarks of colotrace beside other tracers on the same paths: `python -m bench`.

    session.py    shared places, the number of runs, progress
    places.py     the paths: kernel routers, or the responder with configured RTTs
    peers.py      the other tracers; libraries run in `inside_library.py`
    stack.py      coordinator, agent and broker on a place, and a client
    driver.py     a helper process inside a namespace: `inside.py` starts programs,
                  `inside_engine.py` and `inside_agent.py` keep colotrace running,
                  `inside_load.py` simulates many clients, `load/agents.py` of the tests many
                  agents
    loopback.py   a coordinator without a path, for `browser.py`: Chromium, whose events come from
                  `filling.py`
    rows/         one file for each subject, with its measurements
    figures.py    samples and their statistics
    report.py     the table, results.json and results.md; plot.py draws results.svg
    responder/    a fast simulated network in user space: `python -m bench.responder`
    foreign/      TCP traffic of other connections
    accuracy/     accuracy of reported RTTs: `python -m bench.accuracy`

The results are not asserted by tests, and this package is not part of the wheel.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The lab and the fleet are in tests/.
sys.path.insert(0, str(ROOT / "tests"))
