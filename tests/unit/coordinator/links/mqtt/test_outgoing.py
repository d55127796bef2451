"""What waits to be published."""

import asyncio
from typing import Any

import pytest
from aiomqtt import MqttError
from colotrace_coordinator.links.mqtt.outgoing import Outgoing
from colotrace_proto.messages import Cancel, Job, JobId, PacketType
from colotrace_proto.published import decode_published


class Taker:
    """Stands for a client: keeps what is published, until it takes no more."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Job | Cancel, int]] = []
        self.full = False

    async def publish(self, topic: str, payload: bytes, *, qos: int, properties: Any) -> None:
        if self.full:
            raise MqttError("no more")
        assert qos == 0
        message = decode_published(payload)
        assert isinstance(message, Job | Cancel)
        self.taken.append((topic, message, properties.MessageExpiryInterval))


class Run:
    """Something that publishes, on a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.outgoing = Outgoing(clock=lambda: self.now)
        self.taker = Taker()

    async def publish(self) -> list[tuple[str, Job | Cancel, int]]:
        """What has been published since."""
        task = asyncio.create_task(self.outgoing.publish_all(self.taker))  # type: ignore[arg-type]
        await asyncio.sleep(0)  # it publishes all there is without a pause
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        taken, self.taker.taken = self.taker.taken, []
        return taken


@pytest.fixture
def run() -> Run:
    return Run()


def job(name: str = "j", *, remaining_ms: int) -> Job:
    return Job(JobId(name), "t", PacketType.ICMP, 1, 1, 1, 0, 0, remaining_ms)


@pytest.mark.parametrize(
    ("remaining_ms", "expiry_s"), [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (23_200, 24)]
)
async def test_expiry_is_rounded_up(run: Run, remaining_ms: int, expiry_s: int) -> None:
    """To whole seconds; the job says the milliseconds."""
    run.outgoing.put("x", job(remaining_ms=remaining_ms))
    assert await run.publish() == [("x", job(remaining_ms=remaining_ms), expiry_s)]


async def test_queued_job_loses_its_waiting_time(run: Run) -> None:
    """And is not published at all when there is none."""
    run.outgoing.put("x", job("a", remaining_ms=5_000))
    run.outgoing.put("x", job("b", remaining_ms=1_500))
    run.now += 1.5
    assert await run.publish() == [("x", job("a", remaining_ms=3_500), 4)]
    assert len(run.outgoing) == 0


async def test_messages_are_published_in_order(run: Run) -> None:
    """A job and then that it is taken back."""
    run.outgoing.put("x", job("a", remaining_ms=5_000))
    run.outgoing.put("y", Cancel(JobId("a")))
    assert [topic for topic, _, _ in await run.publish()] == ["x", "y"]
    run.outgoing.put("z", Cancel(JobId("b")))
    assert [topic for topic, _, _ in await run.publish()] == ["z"]


async def test_queue_is_bounded(run: Run) -> None:
    """What is beyond it is a job that nobody answers."""
    run.outgoing = Outgoing(clock=lambda: run.now, most=2)
    for name in "abc":
        run.outgoing.put("x", Cancel(JobId(name)))
    assert [message.job_id for _, message, _ in await run.publish()] == ["a", "b"]


async def test_cleared_queue_publishes_nothing(run: Run) -> None:
    """It is not published when nobody waits for it any more."""
    run.outgoing.put("x", Cancel(JobId("a")))
    run.outgoing.clear()
    assert await run.publish() == []


async def test_lost_connection_is_raised(run: Run) -> None:
    """It is said."""
    run.taker.full = True
    run.outgoing.put("x", Cancel(JobId("a")))
    with pytest.raises(MqttError):
        await run.outgoing.publish_all(run.taker)  # type: ignore[arg-type]
