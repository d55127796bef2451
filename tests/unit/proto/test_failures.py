"""One table of error codes for both programs."""

import pytest
from colotrace_coordinator.jobs import faults
from colotrace_proto.failures import error_code
from colotrace_proto.messages import AgentId, Failure, Outcome


def test_every_failure_has_a_code_of_the_api() -> None:
    """0 for a trace, 1 to 4 for all else; what is not understood is the agent's fault."""
    codes = {failure: error_code(failure) for failure in Failure}
    assert codes.pop(Failure.NONE) == 0
    assert set(codes.values()) == {2, 3, 4}
    assert codes[Failure.INTERNAL] == codes[Failure.UNSPECIFIED] == 2


@pytest.mark.parametrize("failure", Failure)
def test_the_coordinator_goes_by_it(failure: Failure) -> None:
    """Its words are its own, its codes are not."""
    fault = faults.ended(AgentId("a1"), Outcome(failure))
    assert (fault.code if fault else 0) == error_code(failure)
