"""Files that are looked at for changes."""

import asyncio
from pathlib import Path

import pytest
import structlog
from colotrace_coordinator.certificates import CertificateWatch
from colotrace_coordinator.errors import SetupError


class Taker:
    """Takes the file's text, where it is good."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.taken: list[str] = []
        self.tried = asyncio.Event()

    def reload(self) -> None:
        self.tried.set()
        text = self.file.read_text()
        if text == "bad":
            raise SetupError("bad")
        self.taken.append(text)

    async def next(self) -> None:
        async with asyncio.timeout(20):
            await self.tried.wait()
        self.tried.clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file.pem"
    file.write_text("first")
    return file


def replace(file: Path, text: str) -> None:
    """As certificate tools do: a new file in the old one's place."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


async def test_changed_file_is_taken(file: Path) -> None:
    """Once, and one that does not do is tried again until it does."""
    taker = Taker(file)
    watch = CertificateWatch([file], [taker.reload], log=structlog.get_logger(), check_s=0.001)
    task = asyncio.create_task(watch.run())
    replace(file, "second")
    await taker.next()
    replace(file, "bad")
    await taker.next()
    await taker.next()
    replace(file, "third")
    while taker.taken[-1] != "third":
        await taker.next()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert taker.taken == ["second", "third"]


async def test_asked_for_it_takes_an_unchanged_file(file: Path) -> None:
    """SIGHUP."""
    taker = Taker(file)
    watch = CertificateWatch([file], [taker.reload], log=structlog.get_logger(), check_s=60)
    task = asyncio.create_task(watch.run())
    watch.ask()
    await taker.next()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert taker.taken == ["first"]
