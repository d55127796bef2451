"""The launcher of the coordinator's package: whose data a command is about, and its settings."""

import importlib.machinery
import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

LAUNCHER = Path(__file__).parents[2] / "deploy" / "debian" / "colotrace-coordinator" / "launcher"
ENV = Path(__file__).parents[2] / "deploy" / "systemd" / "coordinator.env"


@pytest.fixture
def launcher(monkeypatch):
    """The launcher as a module."""
    loader = importlib.machinery.SourceFileLoader("launcher", str(LAUNCHER))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("launcher", loader))
    loader.exec_module(module)
    for name in ("COLOTRACE_DATA", "COLOTRACE_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    return module


def test_settings_are_read_as_systemd_does(launcher):
    text = (
        "# COMMENT=1\n; COMMENT=2 \\\nPLAIN=a b c  \nEMPTY=\nSINGLE='a \"b\" \\n' \n"
        'DOUBLE="a \\"b\\" \\$c"\nESCAPED=a\\ b\nLONG=a\\\nb\nnot a setting\n1=2\nMIXED=a"b c"d\n'
    )
    assert launcher.settings_of(text) == {
        "PLAIN": "a b c",
        "EMPTY": "",
        "SINGLE": 'a "b" \\n',
        "DOUBLE": 'a "b" $c',
        "ESCAPED": "a b",
        "LONG": "ab",
        "MIXED": "ab cd",
    }


def test_installed_settings_set_nothing(launcher):
    assert launcher.settings_of(ENV.read_text()) == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["token", "create", "--account", "demo"], True),
        (["ca", "show", "--data", "/var/lib/colotrace-coordinator/"], True),
        (["ca", "show", "--data=/var/lib/colotrace-coordinator"], True),
        (["ca", "show", "--data", "/srv/other"], False),
        (["ca", "show", "--data=/srv/other"], False),
        (["ca", "show", "--database", "postgresql:///other"], False),
        (["ca", "show", "--help"], False),
        (["--version"], False),
        ([], False),
    ],
)
def test_commands_are_about_the_service_unless_they_name_another(launcher, arguments, expected):
    assert launcher.is_of_service(arguments) is expected


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["backup", "FILE"], 1),
        (["backup", "--data", "DIR", "FILE"], 3),
        (["restore", "--replace", "FILE", "--ca-secret-file", "X"], 2),
        (["restore", "-"], 1),
        (["backup"], None),
        (["agent", "list"], None),
    ],
)
def test_file_of_backups_is_found(launcher, arguments, place):
    assert launcher.file_argument(arguments) == place


@pytest.mark.parametrize("target", ["there", "missing"])
def test_link_in_the_way_of_a_backup_is_replaced(launcher, monkeypatch, tmp_path, target):
    """In /tmp anybody can make one. Nothing is written where it leads."""
    (tmp_path / "there").write_text("kept")
    (tmp_path / "backup.part").symlink_to(tmp_path / target)
    child = {"fork": lambda: 0, "dup2": lambda handle, _: os.write(handle, b"backup")}
    monkeypatch.setattr(launcher, "os", SimpleNamespace(**vars(os) | child))
    launcher.write_to(str(tmp_path / "backup"))
    part = tmp_path / "backup.part"
    assert not part.is_symlink()
    assert part.read_text() == "backup"
    assert part.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "missing").exists()
