"""Which process `broker files` signals, and the notice that it leaves without one."""

import os
from pathlib import Path

import pytest
from colotrace_coordinator.commands.broker_notice import CHANGED, Notice, notices, process_in

ANOTHER = 12_345
_GREATEST_PID = 2**22 - 1


def test_process_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "broker.pid"
    file.write_text(f"{os.getpid()}\n")
    pid, pidfd = process_in(file)
    os.close(pidfd)
    assert pid == os.getpid()


@pytest.mark.parametrize("text", ["-1", "0", "1", "", "x", "9" * 19, "9" * 99, "é", "1 2"])
def test_file_that_names_no_single_process(tmp_path: Path, text: str) -> None:
    """kill(2) takes -1 for all processes."""
    file = tmp_path / "broker.pid"
    file.write_text(text)
    with pytest.raises(ValueError, match="not the number of a process"):
        process_in(file)


def test_link_and_fifo_name_no_process(tmp_path: Path) -> None:
    """The broker's user could name any process by a link to another one's file."""
    (tmp_path / "other.pid").write_text(str(os.getpid()))
    (tmp_path / "link.pid").symlink_to(tmp_path / "other.pid")
    with pytest.raises(ValueError, match="symbolic link"):
        process_in(tmp_path / "link.pid")
    os.mkfifo(tmp_path / "fifo.pid")
    with pytest.raises(ValueError, match="not a regular file"):
        process_in(tmp_path / "fifo.pid")


def test_process_that_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "broker.pid"
    file.write_text(f"{_GREATEST_PID}")
    with pytest.raises(ProcessLookupError):
        process_in(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="root signals for another user")
def test_user_names_no_process_of_root(tmp_path: Path) -> None:
    file = tmp_path / "broker.pid"
    file.write_text(str(os.getpid()))
    os.chown(file, ANOTHER, ANOTHER)
    with pytest.raises(ValueError, match="not of the user who wrote the file"):
        process_in(file)


def test_notice_stays_until_it_is_taken(tmp_path: Path) -> None:
    """A reload does not replace a restart: Mosquitto would keep its former CA."""
    tell, file = notices(tmp_path, None), tmp_path / CHANGED
    tell(Notice.RELOAD)
    assert file.read_text() == "reload\n"
    tell(Notice.RESTART)
    tell(Notice.RELOAD)
    assert file.read_text() == "restart\n"
    file.unlink()
    tell(Notice.RELOAD)
    assert file.read_text() == "reload\n"
