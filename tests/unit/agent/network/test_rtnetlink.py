"""The numbers of questions to the kernel."""

from colotrace_agent.network import rtnetlink
from colotrace_agent.network.rtnetlink import Kernel


def test_sequence_numbers_stay_within_32_bits() -> None:
    """An agent that runs for years asks more often than that."""
    kernel = Kernel()
    try:
        kernel._sequence = rtnetlink._LAST_SEQUENCE - 1
        assert kernel._next(2) == 1
        assert kernel._next(1) == 3
    finally:
        kernel.close()
