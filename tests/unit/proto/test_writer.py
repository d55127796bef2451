"""A reader that is slow, stands still or goes away, and a writer that never waits for it."""

import asyncio
import errno
import os
import threading

import pytest
from colotrace_proto import writer as module
from colotrace_proto.output import STDERR, OutputError
from colotrace_proto.writer import Writer
from eventually import until
from unit.pipes import Pipe

LINE = b"x" * 2_999 + b"\n"


def lines(count: int) -> list[bytes]:
    """Lines that can be told apart, of different lengths, some beyond a page."""
    return [b"%d " % n + b"y" * (n * 977 % 7_000) + b"\n" for n in range(count)]


@pytest.mark.parametrize("blocking", [True, False])
async def test_slow_reader_gets_every_line(pipe: Pipe, blocking: bool) -> None:
    """None is lost or torn, in a blocking pipe and in a non-blocking one."""
    os.set_blocking(pipe.into, blocking)
    writer = Writer(pipe.into, most=10_000)
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_all, pause_s=0.0005))
    for line in lines(100):
        writer.put(line)
        await writer.drain()
    await writer.drain(below=0)
    pipe.end()
    assert await reading == b"".join(lines(100))


async def test_data_larger_than_the_pipe_is_written_in_order(pipe: Pipe) -> None:
    """What is larger than the pipe goes through it, in order."""
    writer = Writer(pipe.into)
    data = b"".join(lines(1_000)) + b"z" * 200_000 + b"\nend\n"
    writer.put(bytearray(data))
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_all))
    await writer.drain(below=0)
    pipe.end()
    assert await reading == data


async def test_drain_waits_for_the_reader_without_blocking_the_loop(pipe: Pipe) -> None:
    """The backlog is bounded, and writing continues once the reader does."""
    writer = Writer(pipe.into, most=10_000)
    put = 0

    async def produce() -> None:
        nonlocal put
        while True:
            writer.put(LINE)
            put += 1
            await writer.drain()

    producing = asyncio.create_task(produce())
    # The kernel keeps each line in a page of its own.
    full = pipe.size() // os.sysconf("SC_PAGE_SIZE") * len(LINE)
    await until(lambda: pipe.unread() == full and writer.waiting > 10_000)
    producing.cancel()
    assert writer.waiting <= 10_000 + len(LINE)
    assert put * len(LINE) <= pipe.size() + 10_000 + len(LINE)
    assert writer.waiting > 10_000
    assert not writer.offer(b"status")
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_all))
    await writer.drain(below=0)
    assert writer.offer(b"status")
    await writer.drain(below=0)
    pipe.end()
    assert await reading == LINE * put + b"status"


async def test_giving_up_leaves_no_torn_line(pipe: Pipe) -> None:
    """A reader that had stopped still gets whole lines only."""
    before = set(threading.enumerate())
    writer = Writer(pipe.into)
    for line in lines(200):
        writer.put(line)
    await until(lambda: pipe.unread() > pipe.size() / 2)
    writer.give_up()
    writer.put(b"never\n")
    with pytest.raises(OutputError):
        await writer.drain()
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 10)
    size = pipe.size()
    pipe.end()
    read = pipe.read_all()
    whole = b"".join(lines(200))
    assert whole.startswith(read)
    assert read.endswith(b"\n")
    assert len(read) > size / 2


async def test_hurry_gives_up_on_a_stopped_reader(pipe: Pipe) -> None:
    """After a while without progress."""
    writer = Writer(pipe.into, still_s=0.2)
    writer.put(LINE * 100)
    writer.hurry(within_s=60)
    async with asyncio.timeout(30):
        with pytest.raises(OutputError) as raised:
            await writer.drain(below=0)
    assert raised.value.number == errno.ETIMEDOUT


async def test_hurry_waits_for_a_reader_that_reads(pipe: Pipe) -> None:
    """All data arrives."""
    writer = Writer(pipe.into, still_s=5.0)
    writer.put(LINE * 100)
    writer.hurry(within_s=60)
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_all, pause_s=0.0005))
    await writer.drain(below=0)
    pipe.end()
    assert await reading == LINE * 100


async def test_hurry_is_bounded_for_a_slow_reader(pipe: Pipe) -> None:
    """However little it reads."""
    writer = Writer(pipe.into)
    writer.put(LINE * 10_000)
    writer.hurry(within_s=0.2)
    async with asyncio.timeout(30):
        with pytest.raises(OutputError):
            await writer.drain(below=0)


async def test_closed_reader_is_reported_at_once(pipe: Pipe) -> None:
    """Also while the pipe is full and the program does not write."""
    failed = asyncio.Event()
    writer = Writer(pipe.into, failed=failed.set)
    writer.put(LINE * 100)
    await until(lambda: pipe.unread() > pipe.size() / 2)
    assert not failed.is_set()
    pipe.leave()
    async with asyncio.timeout(20):
        await failed.wait()
    assert writer.error is not None
    assert writer.error.exit_code == 141
    assert writer.waiting == 0


async def test_full_disk_has_its_own_exit_code() -> None:
    """Another exit code."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = Writer(descriptor)
    writer.put(b"line\n")
    with pytest.raises(OutputError) as raised:
        await writer.drain(below=0)
    os.close(descriptor)
    assert (raised.value.number, raised.value.exit_code) == (errno.ENOSPC, 74)


async def test_standard_error_drops_data_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing raises, and nothing is kept."""

    def fail(descriptor: int, data: object) -> int:
        assert descriptor == STDERR
        raise BrokenPipeError(errno.EPIPE, "")

    monkeypatch.setattr(module.os, "write", fail)
    writer = Writer(STDERR)
    writer.put(b"note\n")
    await writer.drain(below=0)
    writer.put(b"note\n")
    assert writer.waiting == 0


def test_end_of_a_program_waits_for_its_reader(pipe: Pipe) -> None:
    """Until all is written, but not for a stopped reader."""
    writer = Writer(pipe.into, still_s=0.1)
    writer.put(b"line\n")
    writer.finish_blocking(within_s=60)
    assert os.read(pipe.out, 10) == b"line\n"
    writer.put(LINE * 100)
    writer.finish_blocking(within_s=60)
    assert writer.waiting
    writer.give_up()
