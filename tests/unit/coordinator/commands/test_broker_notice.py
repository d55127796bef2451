"""Which process `broker files` signals, and the notice that it leaves without one."""

import os
from pathlib import Path

import pytest
from colotrace_coordinator.commands.broker_notice import CHANGED, Notice, notices, process_in

ANOTHER = 12_345


def test_process_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "broker.pid"
    file.write_text(f"{os.getpid()}\n")
    assert process_in(file) == os.getpid()


@pytest.mark.parametrize("text", ["-1", "0", "1", "", "x"])
def test_file_that_names_no_single_process(tmp_path: Path, text: str) -> None:
    """kill(2) takes -1 for all processes."""
    file = tmp_path / "broker.pid"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"no process|invalid literal"):
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
