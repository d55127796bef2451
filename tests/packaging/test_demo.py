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
