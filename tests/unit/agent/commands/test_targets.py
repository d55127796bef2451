"""Targets come as their lines do."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from colotrace_agent.commands import targets as module
from colotrace_agent.commands.targets import Targets


class Pipe:
    """Its reading end's descriptor, and what is written into the other."""

    def __init__(self) -> None:
        self.out, into = os.pipe()
        self._into = os.fdopen(into, "wb", buffering=0)

    def write(self, data: bytes) -> None:
        self._into.write(data)

    def end(self) -> None:
        self._into.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Closed in the end."""
    made = Pipe()
    yield made
    made.end()
    os.close(made.out)


async def rest(targets: Targets) -> list[str]:
    async with asyncio.timeout(5):
        return [target async for target in targets]


async def test_without_a_file() -> None:
    """What is on the command line is all."""
    assert await rest(Targets(["a", "b"])) == ["a", "b"]


async def test_lines(tmp_path: Path) -> None:
    """Comments and blanks are no targets, whatever ends the last line; bytes that are no text are
    no reason to stop."""
    path = tmp_path / "targets"
    path.write_bytes(b"# all of them\none\n\n  two # the second\r\n\xff\nthree")
    file = os.open(path, os.O_RDONLY)
    assert await rest(Targets(["zero"], file)) == ["zero", "one", "two", "\ufffd", "three"]
    os.close(file)


async def test_each_is_there_as_soon_as_its_line_is(pipe: Pipe) -> None:
    """Nothing waits for the end, nor for a buffer to fill."""
    targets = Targets([], pipe.out)
    for name in ("one", "two"):
        pipe.write(f"{name}\n".encode())
        async with asyncio.timeout(5):
            assert await anext(targets) == name
    pipe.write(b"thr")
    pipe.write(b"ee")
    pipe.end()
    assert await rest(targets) == ["three"]


async def test_the_loop_runs_on_while_nothing_comes(pipe: Pipe) -> None:
    """And whoever waits is told when there will be no more."""
    targets = Targets([], pipe.out)
    waiting = asyncio.create_task(rest(targets))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    targets.close()
    assert await waiting == []


async def test_a_pipe_that_does_not_block(pipe: Pipe) -> None:
    """Its other owner's doing."""
    os.set_blocking(pipe.out, False)
    targets = Targets([], pipe.out)
    await asyncio.sleep(0.01)
    pipe.write(b"one\n")
    pipe.end()
    assert await rest(targets) == ["one"]


async def test_it_reads_ahead_only_so_far(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a million lines is not held in memory."""
    monkeypatch.setattr(module, "_AHEAD", 10)
    monkeypatch.setattr(module, "_CHUNK", 2)
    pipe.write(b"".join(b"%d\n" % (n % 10) for n in range(100)))
    pipe.end()
    targets = Targets([], pipe.out)
    async with asyncio.timeout(5):
        # Nothing tells when; the timeout bounds it.
        while targets._read.qsize() < 10:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert targets._read.qsize() == 10
    assert len(await rest(targets)) == 100


async def test_a_line_without_an_end(pipe: Pipe) -> None:
    """Its beginning is kept: it is no name of a host, and the answer will say so."""

    def write() -> None:
        for _ in range(50):
            pipe.write(b"x" * 10_000)
        pipe.write(b"\nnext\n")
        pipe.end()

    targets = Targets([], pipe.out)
    _, found = await asyncio.gather(asyncio.to_thread(write), rest(targets))
    assert found == ["x" * 1_000, "next"]


async def test_a_file_that_cannot_be_read_on(tmp_path: Path) -> None:
    """It is said, after what there was."""
    file = os.open(tmp_path, os.O_RDONLY)  # a directory
    with pytest.raises(OSError, match="directory"):
        await rest(Targets([], file))
    os.close(file)
