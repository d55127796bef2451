"""Jobs over a prober and a resolver that a test holds the strings of."""

import pytest
from colotrace_agent.job.admission import Jobs
from colotrace_proto.messages import PacketType
from unit.agent.fakes import EmittingJobs, FakeProber, FakeResolver


@pytest.fixture
def prober() -> FakeProber:
    """A prober of both families."""
    return FakeProber()


@pytest.fixture
def resolver() -> FakeResolver:
    """A resolver that knows no name."""
    return FakeResolver()


@pytest.fixture
async def jobs(prober: FakeProber, resolver: FakeResolver) -> Jobs:
    """An agent's jobs, five at once; private targets are forbidden."""
    return EmittingJobs(
        prober,  # type: ignore[arg-type]
        resolver,  # type: ignore[arg-type]
        packet_types=frozenset({PacketType.ICMP, PacketType.UDP}),
        max_jobs=5,
        allow_private=False,
    )
