"""The output of `make demo`."""

import contextlib
import importlib.util
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"
FLEET = SimpleNamespace(url="http://127.0.0.1:1", base_url="http://127.0.0.1:1/v4", token="ctr_x")


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch):
    """The demo with a fake lab and a fake fleet."""
    spec = importlib.util.spec_from_file_location("demo_of_a_test", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lab = SimpleNamespace(up=lambda: None, down=lambda: None)
    monkeypatch.setattr(module, "Lab", lambda: lab)
    monkeypatch.setattr(module, "one_fleet", lambda _lab, _stack: [FLEET])
    module.really_show = module.show
    monkeypatch.setattr(module, "show", lambda _fleets: None)
    for name in ("enter_if_needed", "require"):
        monkeypatch.setattr(module.access, name, lambda: None)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    with contextlib.suppress(KeyError):
        monkeypatch.delenv("KEEP")
    return module


def test_ended_demo_shows_no_url_and_no_token(demo, capsys) -> None:
    assert demo.main() == 0
    shown = capsys.readouterr().out
    assert FLEET.token not in shown
    assert FLEET.url not in shown
    assert "KEEP=1" in shown


def test_kept_demo_shows_url_and_token(demo, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("KEEP", "1")
    monkeypatch.setattr(signal, "pause", interrupt)
    assert demo.main() == 130
    shown = capsys.readouterr().out
    assert FLEET.token in shown
    assert FLEET.url in shown


def test_command_in_the_demo_leaves_nothing_of_its_own(
    demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it remembers is in the fleet's directory; the caller's settings have no part in it."""
    monkeypatch.setenv("COLOTRACE_FORMAT", "csv")
    monkeypatch.setattr(demo, "ask", lambda _fleet: None)
    fleet = SimpleNamespace(**vars(FLEET), directory=tmp_path)
    ran = []

    def run(words, *, env, check):
        ran.append((words[1], env))
        return SimpleNamespace(returncode=4 if words[1] == "diff" else 0)

    monkeypatch.setattr(demo, "subprocess", SimpleNamespace(run=run))
    demo.really_show([fleet])
    assert [name for name, _ in ran] == ["trace", "trace", "trace", "list", "diff"]
    for _, env in ran:
        assert env["XDG_STATE_HOME"].startswith(str(tmp_path))
        assert env["XDG_CONFIG_HOME"].startswith(str(tmp_path))
        assert "COLOTRACE_FORMAT" not in env
