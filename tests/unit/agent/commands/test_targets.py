"""Targets come as their lines do."""

import asyncio
import os
import pty
import select
import threading
from pathlib import Path

import pytest
from colotrace_agent.commands.targets import Targets, Unusable
from eventually import until
from unit.pipes import Pipe


async def rest(targets: Targets) -> list[str | Unusable]:
    async with asyncio.timeout(20):
        return [target async for target in targets]


async def test_without_a_file() -> None:
    """What is on the command line is all."""
    assert await rest(Targets(["a", "b"])) == ["a", "b"]


async def read(tmp_path: Path, content: bytes, *, chunk: int = 16_384) -> list[str | Unusable]:
    """What a file with that content comes to."""
    path = tmp_path / "targets"
    path.write_bytes(content)
    file = os.open(path, os.O_RDONLY)
    try:
        return await rest(Targets([], file, chunk=chunk))
    finally:
        os.close(file)


async def test_arguments_come_before_the_file(tmp_path: Path) -> None:
    """One that is not UTF-8 is unusable, and shown by its bytes."""
    path = tmp_path / "targets"
    path.write_bytes(b"one\n")
    file = os.open(path, os.O_RDONLY)
    first, bad, last = await rest(Targets(["zero", "m\udcfcnchen"], file))
    os.close(file)
    assert (first, last) == ("zero", "one")
    assert isinstance(bad, Unusable)
    assert bad.text == r"m\xfcnchen"


@pytest.mark.parametrize("chunk", [1, 2, 3, 16_384])
@pytest.mark.parametrize(
    "content",
    [
        b"one\ntwo",
        b"# all of them\n\n   \n  one\t\ntwo # the second\n#",
        b"# list\r\n\r\none\r\n \r\ntwo # second\r\n",
        b"one\rtwo\r",
        b"one\r\rtwo\n\r",
        b"\xef\xbb\xbfone\ntwo\n",
        b"\xef\xbb\xbf# list\none\ntwo\n",
        "\ufeffone\r\ntwo\r\n".encode("utf-16-le"),
        "\ufeff# Städte\none\ntwo".encode("utf-16-be"),
        b"one\xc2\xa0\ntwo\xe2\x80\x8b\n",
        "one\n\u2066two\u2069\n\u200e\n".encode(),
        b"one # comment in latin-1: \xfc\ntwo",
        b"#" + b"x" * 5_000 + b"\none\ntwo\n",
        b"one\ntwo" + b" " * 900 + b"\n",
    ],
)
async def test_files_as_people_have_them(tmp_path: Path, content: bytes, chunk: int) -> None:
    """Byte order marks, line ends, comments, blanks and invisible characters are no part of a
    target, wherever one read ends and the next begins."""
    assert await read(tmp_path, content, chunk=chunk) == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"m\xfcnchen.example # M\xfcnchen", r"m\xfcnchen.example"),
        (b"1\x002\x00.\x00", r"1\x002\x00.\x00"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        (b"one two", "one two"),
        (b"a\tb", r"a\tb"),
        ("a\u202eb".encode(), r"a\u202eb"),
        (b"x" * 1_001, "x" * 254 + "…"),
        (b"x" * 100_000, "x" * 254 + "…"),
    ],
)
async def test_a_line_that_is_no_target_is_told_with_its_number(
    tmp_path: Path, line: bytes, text: str
) -> None:
    """The others are traced; what is shown of it is safe and bounded."""
    one, bad, two = await read(tmp_path, b"one\r\n# comment\n" + line + b"\ntwo\n")
    assert (one, two) == ("one", "two")
    assert isinstance(bad, Unusable)
    assert bad.text == text
    assert bad.cause.reason.startswith("line 3 ")


async def test_each_is_there_as_soon_as_its_line_is(pipe: Pipe) -> None:
    """Nothing waits for the end, nor for a buffer to fill."""
    targets = Targets([], pipe.out)
    for name in ("one", "two"):
        pipe.write(f"{name}\n".encode())
        async with asyncio.timeout(20):
            assert await anext(targets) == name
    pipe.write(b"thr")
    pipe.write(b"ee")
    pipe.end()
    assert await rest(targets) == ["three"]


async def test_the_loop_runs_on_while_nothing_comes(pipe: Pipe) -> None:
    """And whoever waits is told when there will be no more."""
    targets = Targets([], pipe.out)
    waiting = asyncio.create_task(rest(targets))
    await asyncio.sleep(0)
    assert not waiting.done()
    targets.close()
    assert await waiting == []


async def test_a_pipe_that_does_not_block(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other owner's doing."""
    os.set_blocking(pipe.out, False)
    asked, select_of_all = threading.Event(), select.select

    def watched(*files: list[int]) -> tuple[list[int], list[int], list[int]]:
        asked.set()
        return select_of_all(*files)

    monkeypatch.setattr(select, "select", watched)
    targets = Targets([], pipe.out)
    assert await asyncio.to_thread(asked.wait, 5)
    pipe.write(b"one\n")
    pipe.end()
    assert await rest(targets) == ["one"]


async def test_it_reads_ahead_only_so_far(pipe: Pipe) -> None:
    """A file of a million lines is not held in memory."""
    pipe.write(b"".join(b"%d\n" % (n % 10) for n in range(100)))
    pipe.end()
    targets = Targets([], pipe.out, chunk=2, ahead=10)
    await until(lambda: pipe.unread() <= 180)
    for taken in range(100):
        # One more is read, and waits for its turn.
        assert pipe.unread() >= 200 - 2 * (taken + 10 + 1)
        assert await anext(targets) == str(taken % 10)
    assert await rest(targets) == []


@pytest.mark.parametrize(
    ("content", "targets"), [(b"", 0), (b"one\n", 1), (b"\xff\xfe", 0), (b"\xef", 1)]
)
async def test_nothing_is_read_after_the_end(content: bytes, targets: int) -> None:
    """A terminal tells the end once (Ctrl-D), and then waits for more."""
    keyboard, terminal = pty.openpty()
    # A line that has begun takes one more.
    os.write(keyboard, content + (b"\4" if content in (b"", b"one\n") else b"\4\4"))
    assert len(await rest(Targets([], terminal))) == targets
    os.close(keyboard)
    os.close(terminal)


async def test_a_line_without_an_end(pipe: Pipe) -> None:
    """Its beginning is kept, to be shown."""

    def write() -> None:
        for _ in range(50):
            pipe.write(b"x" * 10_000)
        pipe.write(b"\nnext\n")
        pipe.end()

    targets = Targets([], pipe.out)
    _, found = await asyncio.gather(asyncio.to_thread(write), rest(targets))
    bad, following = found
    assert isinstance(bad, Unusable)
    assert len(bad.text) == 255
    assert following == "next"


async def test_a_file_that_cannot_be_read_on(tmp_path: Path) -> None:
    """It is said, after what there was."""
    file = os.open(tmp_path, os.O_RDONLY)  # a directory
    with pytest.raises(OSError, match="directory"):
        await rest(Targets([], file))
    os.close(file)
