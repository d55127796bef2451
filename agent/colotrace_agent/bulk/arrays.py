"""Types of the arrays that the modules of `bulk` exchange."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Lines = npt.NDArray[np.intp]
"""Indices: of lines, ordinals, places or rows."""
Names = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
"""Times, identifiers and numbers of probes."""
