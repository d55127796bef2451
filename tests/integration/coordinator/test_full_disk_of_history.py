"""A real coordinator whose disk fills up: all is answered, and kept once there is space."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from eventually import wait_until
from fleet.data import prepare
from needs import NEEDS_MOUNTS

pytestmark = NEEDS_MOUNTS

PROGRAM = "from colotrace_coordinator.main import main; main()"
MOUNTED = 'set -e; mount -t tmpfs -o size=2m none "$1"; cp "$2"/* "$1"; shift 2; exec "$@"'
TESTS = Path(__file__).parents[2]
BODY = {"targets": ["192.0.2.1"]}


class Coordinator:
    """A coordinator in a mount namespace of its own, with one simulated agent."""

    def __init__(self, process: "subprocess.Popen[str]", disk: Path, token: str) -> None:
        assert process.stderr is not None
        for text in process.stderr:
            line = json.loads(text)
            if line["event"] == "listening":
                break
        # The log must be read on.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        self.grpc = line["grpc"]
        headers = {"authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=f"http://{line['http']}", headers=headers, timeout=30)
        self._fill = Path(f"/proc/{process.pid}/root{disk}/fill")

    def fill(self) -> None:
        """Leave no space on its disk."""
        with self._fill.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4_096))
            except OSError:
                pass

    def free(self) -> None:
        """Make space again."""
        self._fill.unlink()

    def trace(self) -> httpx.Response:
        return self.client.post("/accounts/a1/diagnostics/traceroute", json=BODY)

    def ids(self) -> list[str]:
        """All measurements, newest first."""
        found: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            answer = self.client.get(
                "/accounts/a1/diagnostics/traceroute", params={"per_page": 100, **cursor}
            ).json()
            found += [each["id"] for each in answer["result"]]
            if "cursor" not in answer["result_info"]:
                return found
            cursor = {"cursor": answer["result_info"]["cursor"]}

    def metric(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


@contextmanager
def agent(grpc: str) -> Iterator[None]:
    command = [sys.executable, "-m", "load.agents", "--coordinator", grpc, "den01-1"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    data, disk = tmp_path / "data", tmp_path / "disk"
    for each in (data, disk):
        each.mkdir()
    token = prepare(
        data, program=Path(sys.executable).parent / "colotrace-coordinator", account="a1"
    )
    serve = [sys.executable, "-c", PROGRAM, "serve", "--insecure", "--allow-private"]
    addresses = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", str(disk)]
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", MOUNTED, "sh", str(disk), str(data), *serve, *addresses],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            coordinator = Coordinator(process, disk, token)
            with coordinator.client:
                yield coordinator
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert process.returncode == 0


def test_full_disk_costs_history_not_answers(coordinator: Coordinator) -> None:
    with agent(coordinator.grpc):
        # Until the agent is attached there is no colo, so that nothing is measured.
        wait_until(lambda: "measurement-id" in coordinator.trace().headers)
        coordinator.fill()
        told = coordinator.ids()

        def trouble() -> bool:
            answer = coordinator.trace()
            assert answer.status_code == 200
            told.insert(0, answer.headers["measurement-id"])
            return coordinator.metric("colotrace_history_failures") > 0

        wait_until(trouble, within_s=60)
        assert "no space left" in coordinator.client.get("/readyz").json()["result"]["detail"]
        assert coordinator.ids() == told
        coordinator.free()
        wait_until(lambda: coordinator.metric("colotrace_history_waiting") == 0, within_s=30)
        assert coordinator.ids() == told
        assert coordinator.metric("colotrace_history_dropped") == 0
