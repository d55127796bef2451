"""Jobs over a prober and a resolver that a test holds the strings of."""

import asyncio

import pytest
from colotrace_agent.jobs import Jobs
from colotrace_agent.resolve import UnresolvableError, parse_address
from colotrace_proto.messages import Job, JobId, PacketType
from unit.agent.fake_prober import FakeProber


class FakeResolver:
    """Knows what it was told; `slow` names are never answered."""

    def __init__(self) -> None:
        self.names: dict[str, list[bytes]] = {}
        self.fault: Exception | None = None

    async def addresses(self, target: str) -> list[bytes]:
        """The target's addresses."""
        if self.fault is not None:
            raise self.fault
        literal = parse_address(target)
        if literal is not None:
            return [literal]
        if target == "slow.example":
            await asyncio.Event().wait()
        if target not in self.names:
            raise UnresolvableError(f"{target} does not resolve: no such name")
        return self.names[target]


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
    return Jobs(
        prober,  # type: ignore[arg-type]
        resolver,  # type: ignore[arg-type]
        packet_types=frozenset({PacketType.ICMP, PacketType.UDP}),
        max_jobs=5,
        allow_private=False,
    )


def job(job_id: str = "job-1", target: str = "1.1.1.1", **options: int | PacketType) -> Job:
    """A job of one TTL and one packet, unless said otherwise."""
    fields: dict[str, int | PacketType] = {
        "packet_type": PacketType.ICMP,
        "max_ttl": 1,
        "packets_per_ttl": 1,
        "wait_ms": 1_000,
        "port": 0,
        "flow": 0,
        "remaining_ms": 20_000,
    }
    return Job(job_id=JobId(job_id), target=target, **fields | options)  # type: ignore[arg-type]
