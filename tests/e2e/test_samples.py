"""Samples of the README and the other documents work, apart from names and addresses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from eventually import wait_until
from fleet import AgentSpec, Fleet
from fleet.broker import free_port
from fleet.fleet import NO_TLS
from fleet.samples import ROOT, Sample, samples
from lab import Lab

# One worker starts the fleet.
pytestmark = pytest.mark.xdist_group("samples")

_BIN = Path(sys.executable).parent
_TARGETS = {"example.com": "web.lab.example", "192.0.2.1": "198.18.20.100"}


def of(*languages: str) -> list[object]:
    return [pytest.param(each, id=each.where) for each in samples() if each.language in languages]


@pytest.fixture(scope="module")
def running(lab: Lab) -> Iterator[Fleet]:
    """An agent in each of two colos, and the account and token that the samples use."""
    agents = [
        AgentSpec(host=colo.name, colo=colo.name, city=colo.city, agent_id=f"{colo.name}-a")
        for colo in lab.colos
        if colo.name in ("den01", "sin01")
    ]
    with Fleet(lab, agents=agents, agent_flags=("--tag", "provider=x")) as fleet:
        fleet.wait_attached()
        fleet.token = fleet.command("token", "create", "--account", "demo").strip()
        yield fleet


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The working directory of commands, with the files that samples use."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "targets.txt").write_text("198.18.20.100\nweb.lab.example\n")
    return tmp_path


def here(sample: Sample, fleet: Fleet) -> str:
    """The sample with this fleet's names and addresses."""
    text = sample.text
    for shown, meant in _TARGETS.items():
        text = text.replace(shown, meant)
    for url in ("http://127.0.0.1:8080", "https://coordinator.example.net:8080"):
        text = text.replace(url, fleet.url)
    text = text.replace("COLOTRACE_TOKEN=…", f"COLOTRACE_TOKEN={fleet.token}")
    text = text.replace("--data DIR", f"--data {fleet.directory}")
    if re.search(r"\bID$", text, re.MULTILINE):
        fleet.command("token", "create", "--account", "gone")
        last = fleet.command("token", "list").splitlines()
        (token_id,) = (line.split()[0] for line in last if " gone " in f"{line} ")
        text = re.sub(r"\bID$", token_id, text, flags=re.MULTILINE)
    return text


def environment(fleet: Fleet) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COLOTRACE_")}
    return kept | {
        "PATH": f"{_BIN}:{os.environ['PATH']}",
        "COLOTRACE_URL": fleet.url,
        "COLOTRACE_ACCOUNT": "demo",
        "COLOTRACE_TOKEN": fleet.token,
    }


@pytest.mark.parametrize("sample", of("sh", "bash"))
def test_commands_of_the_operator(sample: Sample, running: Fleet, directory: Path) -> None:
    shell = sample.language.partition(" ")[0]
    done = subprocess.run(
        [shell, "-eu", "-c", here(sample, running)],
        cwd=directory,
        env=environment(running),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    if "curl " in sample.text:
        answer = json.loads(done.stdout)
        (row,) = answer["result"]
        assert [colo["colo"]["name"] for colo in row["colos"]] == ["den01", "sin01"]
        assert all(colo["target_summary"]["packet_count"] for colo in row["colos"])


@pytest.mark.parametrize("sample", of("sh probe-host"))
def test_commands_on_a_probe_host(sample: Sample, running: Fleet, directory: Path) -> None:
    script = f"cd {directory}\n{here(sample, running)}"
    env = {"COLOTRACE_ALLOW_PRIVATE": "1", "PATH": f"{_BIN}:{os.environ['PATH']}"}
    done = running.lab.run("den01", ["sh", "-eu", "-c", script], timeout_s=60, env=env)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("sample", of("python"))
def test_python(sample: Sample, running: Fleet) -> None:
    """With the pinned version of the SDK."""
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", here(sample, running)],
        env=environment(running),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["web.lab.example", "den01"],
        ["web.lab.example", "sin01"],
    ]
    assert all(float(line[2]) > 0 for line in lines)


@pytest.mark.parametrize("sample", of("json"))
def test_json(sample: Sample, running: Fleet) -> None:
    """A request body is answered; a part of an answer is valid JSON."""
    text = here(sample, running).strip()
    if not text.startswith("{"):
        assert json.loads(f"{{{text}}}")
        return
    answer = httpx.post(
        running.path("demo"), headers=running.headers(), json=json.loads(text), timeout=30
    )
    assert answer.status_code == 200
    assert answer.json()["success"]


@pytest.mark.parametrize("sample", of("nft"))
def test_ruleset(sample: Sample, running: Fleet, directory: Path) -> None:
    """nft accepts the ruleset."""
    rules = directory / "rules.nft"
    rules.write_text(sample.text)
    done = running.lab.run("den01", ["nft", "--check", "--file", str(rules)])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sample", of("sh services"))
def test_services(sample: Sample, lab: Lab, directory: Path) -> None:
    """The lines start a coordinator, create a token, and start an agent, which attaches."""
    ports = [free_port("127.0.0.1") for _ in range(2)]
    text = sample.text.replace("127.0.0.1:8080", f"127.0.0.1:{ports[0]}")
    text = text.replace("0.0.0.0:8081", f"127.0.0.1:{ports[1]}")
    text = text.replace("HOST:8081", f"127.0.0.1:{ports[1]}")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COLOTRACE_")}
    env = kept | {"PATH": f"{_BIN}:{os.environ['PATH']}"}
    url = f"http://127.0.0.1:{ports[0]}"
    token, started = "", []

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):  # it does not listen yet
            return httpx.get(f"{url}/readyz", verify=NO_TLS).status_code == 200
        return False

    try:
        for line in text.splitlines():
            if " serve " in line or " run " in line:
                process = subprocess.Popen(
                    ["sh", "-c", f"exec {line}"],
                    cwd=directory,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                started.append(process)
                if " serve " in line:
                    wait_until(ready, within_s=60)
            else:
                done = subprocess.run(
                    ["sh", "-c", line], cwd=directory, env=env, capture_output=True, text=True,
                    timeout=60, check=True,
                )  # fmt: skip
                token = done.stdout.strip()
        colos = f"{url}/accounts/demo/diagnostics/traceroute/colos"
        told = {"Authorization": f"Bearer {token}"}

        def attached() -> bool:
            known = httpx.get(colos, headers=told, verify=NO_TLS).json()["result"]
            states = [(colo["name"], colo["city"], colo["state"]) for colo in known]
            return states == [("den01", "Denver, CO, US", "up")]

        wait_until(attached, within_s=60)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.wait(30)
