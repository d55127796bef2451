"""Where the coordinator's CPU time goes: all of it is in a part."""

import sys
from contextlib import ExitStack
from pathlib import Path

from load.bed import SHORT, Bed
from load.parts import OTHER, PARTS, SAMPLED, THREADS, measured, shares


def test_shares_add_up_over_the_loop_and_the_other_threads() -> None:
    samples = {"jobs/starts.py": 2, "jobs/machine.py": 1, "": 1, "colos/names.py": 4}
    found = shares(samples, threads_ms=20.0, all_ms=100.0)
    assert found[THREADS] == 0.2
    assert found["order of starts, and limits"] == 0.2
    assert found["event loop, with gRPC's core and sockets"] == 0.1
    assert found[OTHER] == 0.4
    assert abs(sum(found.values()) - 1) < 1e-9


def test_parts_of_a_real_coordinator(tmp_path: Path) -> None:
    record = tmp_path / "samples"
    with ExitStack() as stack:
        program = (sys.executable, SAMPLED, record)
        bed = Bed(stack, tmp_path / "bed", SHORT, lambda _: None, program=program)
        found, row_ms = measured(bed, record, colos=SHORT.colos, runs=3)
    assert row_ms > 0
    assert abs(sum(found.values()) - 1) < 1e-6
    assert found[OTHER] < 0.2
    assert sum(found[part] for part in PARTS) > 0.5
