"""One table of error codes for both programs."""

import pytest
from colotrace_coordinator.jobs import faults
from colotrace_proto.failures import error_code
from colotrace_proto.messages import AgentId, Failure, Outcome


def test_each_failure_has_a_row_code() -> None:
    """0 if the target was traced; an unknown failure counts as one of the agent."""
    codes = {failure: error_code(failure) for failure in Failure}
    assert codes.pop(Failure.NONE) == 0
    assert set(codes.values()) == {2, 3, 4}
    assert codes[Failure.INTERNAL] == codes[Failure.UNSPECIFIED] == 2


@pytest.mark.parametrize("failure", Failure)
def test_fault_of_a_failed_job_has_the_code_of_its_failure(failure: Failure) -> None:
    """The coordinator has no second table."""
    fault = faults.ended(AgentId("a1"), Outcome(failure), delayed_s=0.0)
    assert (fault.code if fault else 0) == error_code(failure)
