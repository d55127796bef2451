"""The load harness (`make load`), and tests that it and the benchmarks work."""

import sys
from pathlib import Path

# `bench` is no part of the distribution.
sys.path.append(str(Path(__file__).parents[2]))
