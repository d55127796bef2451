"""A connection to a real broker: opened, refused, lost and closed."""

import asyncio
import gc
import re
import socket
import time

import pytest
from aiomqtt import MqttError
from colotrace_proto.bus import Broker as Where
from colotrace_proto.bus import broker_of
from colotrace_proto.mqtt import connection, expiring, refusal, subscribe
from colotrace_proto.published import MAX_PUBLISHED
from colotrace_proto.running import RunningClock
from eventually import until
from fleet import Broker


@pytest.fixture
def where(broker: Broker) -> Where:
    """The broker's address."""
    return broker_of(broker.url)


async def test_published_message_is_delivered(where: Where) -> None:
    """Up to the maximum size, with its remaining expiry."""
    async with connection(where, tls=None, identifier="one", clock=RunningClock()) as client:
        await subscribe(client, "x/+")
        await client.publish("x/1", bytes(4 * MAX_PUBLISHED))
        await client.publish("x/2", b"short", properties=expiring(7))
        message = await anext(aiter(client.messages))
    assert (message.topic.value, message.payload) == ("x/2", b"short")
    assert message.properties is not None
    assert message.properties.MessageExpiryInterval == 7


async def test_publish_writes_immediately(where: Where) -> None:
    """In the same turn of the loop."""
    async with connection(where, tls=None, identifier="one", clock=RunningClock()) as client:
        publishing = client.publish("x", b"short", qos=0)
        with pytest.raises(StopIteration):
            publishing.send(None)


async def test_broker_lost_during_a_write(broker: Broker, where: Where) -> None:
    """Only the loss is raised."""

    async def speak() -> None:
        for _ in range(100):
            await client.publish("x", b"short", qos=0)
            time.sleep(0.001)  # noqa: ASYNC251 - so that nobody has read of its end before

    async with connection(where, tls=None, identifier="one", clock=RunningClock()) as client:
        broker.kill()
        with pytest.raises(MqttError):
            await speak()


async def test_broker_that_stops_reading_for_a_while(broker: Broker, where: Where) -> None:
    """Data is queued, and delivered completely and in order."""
    async with connection(where, tls=None, identifier="one", clock=RunningClock()) as client:
        broker.freeze()
        publishing = None
        for _ in range(10_000):
            publishing = asyncio.create_task(client.publish("x", bytes(MAX_PUBLISHED), qos=0))
            await asyncio.sleep(0)
            if not publishing.done():
                break
        assert publishing is not None
        assert not publishing.done()
        broker.thaw()
        await publishing
        await client.publish("x", b"", qos=1)


async def test_will_is_published_after_a_loss(broker: Broker, where: Where) -> None:
    """The retained message is deleted after a lost connection, but not after a disconnect."""
    async with connection(where, tls=None, identifier="one", clock=RunningClock()) as watch:
        await subscribe(watch, "there")
        messages = aiter(watch.messages)
        async with connection(
            where, tls=None, identifier="two", clock=RunningClock(), will="there"
        ) as client:
            await client.publish("there", b"kept", qos=1, retain=True)
            assert (await anext(messages)).payload == b"kept"
        async with (
            connection(where, tls=None, identifier="two", clock=RunningClock(), will="there"),
            # Another client with our identifier takes over, so the broker closes our connection.
            connection(where, tls=None, identifier="two", clock=RunningClock()),
            asyncio.timeout(20),
        ):
            assert (await anext(messages)).payload == b""


async def test_connection_refused_gives_the_reason() -> None:
    """The error has the reason in words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(MqttError) as raised:
        async with connection(
            Where("127.0.0.1", port, tls=False), tls=None, identifier="one", clock=RunningClock()
        ):
            pass
    assert "refused" in refusal(raised.value)


async def test_unknown_host_name_gives_the_reason() -> None:
    """The error has the reason in words."""
    with pytest.raises(MqttError) as raised:
        async with connection(
            Where("nowhere.invalid", 1, tls=False), tls=None, identifier="one", clock=RunningClock()
        ):
            pass
    assert refusal(raised.value)


async def test_unresponsive_broker_is_abandoned(broker: Broker, where: Where) -> None:
    """The connection is closed, so the broker has no client from it when it continues."""
    broker.freeze()
    began = time.monotonic()
    with pytest.raises(MqttError):
        async with connection(where, tls=None, identifier="one", clock=RunningClock()):
            pass
    assert time.monotonic() - began < 8  # the library would wait for 10 s
    own = asyncio.current_task()
    await until(lambda: asyncio.all_tasks() == {own})
    broker.thaw()
    async with connection(where, tls=None, identifier="two", clock=RunningClock()):
        gone = re.compile(r"Client one .*disconnected")
        # The broker takes some time to continue.
        await until(lambda: bool(gone.search(broker.log.read_text())), within_s=10)


@pytest.mark.parametrize("lost", [False, True])
async def test_cancellation_is_not_lost(broker: Broker, where: Where, *, lost: bool) -> None:
    """In any state of the broker."""

    async def stay() -> None:
        while True:
            try:
                async with connection(
                    where, tls=None, identifier="one", clock=RunningClock()
                ) as client:
                    connected.set()
                    await anext(aiter(client.messages))
            except MqttError:
                pass

    connected = asyncio.Event()
    task = asyncio.create_task(stay())
    await connected.wait()
    if lost:
        broker.kill()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done
    assert task.cancelled()


async def test_lost_connection_is_raised_to_the_reader(
    broker: Broker, where: Where, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader gets the error at once, and asyncio has no unretrieved exception."""

    async def publish() -> None:
        async with connection(where, tls=None, identifier="one", clock=RunningClock()) as client:
            broker.kill()
            await client.publish("x", b"", qos=1)

    async def read() -> None:
        async with connection(where, tls=None, identifier="one", clock=RunningClock()) as client:
            broker.kill()
            async with asyncio.timeout(1):
                await anext(aiter(client.messages))

    for work in (publish, read):
        with pytest.raises(MqttError) as raised:
            await work()
        assert refusal(raised.value)
        broker.start()
    del raised
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
