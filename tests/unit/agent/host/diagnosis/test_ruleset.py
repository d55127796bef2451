"""How the rules are asked for, and what is said where they cannot be had."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from colotrace_agent.host.diagnosis import ruleset


def test_no_program_of_the_working_directory_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\ntouch ran\n")
    nft.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f":.{os.pathsep}{os.environ['PATH']}")
    ruleset.read()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("user", [0, 1000])
def test_root_is_not_told_to_be_root(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/sbin/nft")
    refused = subprocess.CompletedProcess([], 1, "", "Operation not permitted\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    found = ruleset.read()
    assert found.unread
    assert ("as root" in found.remedy) is (user != 0)


def test_a_missing_program_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    found = ruleset.read()
    assert "install" in found.remedy
    assert "root" not in found.remedy
