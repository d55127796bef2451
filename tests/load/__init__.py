"""What the benchmarks stand on, held to the truth: nothing is measured here."""

import sys
from pathlib import Path

# `bench` is no part of the distribution.
sys.path.append(str(Path(__file__).parents[2]))
