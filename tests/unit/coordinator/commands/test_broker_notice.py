"""Which process `broker files` signals, and the notice that it leaves without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from colotrace_coordinator.commands.broker_notice import CHANGED, Notice, notices, process_in
from colotrace_coordinator.errors import SetupError

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


def test_broker_that_starts_is_told_later(tmp_path: Path) -> None:
    """A signal that it does not handle yet would end it."""
    file = tmp_path / "broker.pid"
    tell = notices(tmp_path, file)
    code = "import signal; print(flush=True); input(); signal.signal(1, lambda *_: print('told'))"
    argv = [sys.executable, "-c", f"{code}; print(flush=True); signal.pause()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdin is not None
        assert broker.stdout is not None
        broker.stdout.readline()
        file.write_text(f"{broker.pid}\n")
        with pytest.raises(SetupError, match="does not handle SIGHUP"):
            tell(Notice.RELOAD)
        broker.stdin.write("\n")
        broker.stdin.flush()
        broker.stdout.readline()
        tell(Notice.RELOAD)
        assert broker.stdout.read() == "told\n"
        assert broker.wait() == 0


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
