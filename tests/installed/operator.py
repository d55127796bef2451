"""What an operator does on installed hosts, by the packages' own commands."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from eventually import wait_until

from installed.roots import HOME, Root

ACCOUNT = "demo"
AUTHORITY = f"{HOME}/colotrace-ca.pem"
URL = "https://trace.example.net:8080"
CITIES = {"den01": "Denver, CO, US", "sin01": "Singapore, SG"}


class Operator:
    """The commands of one coordinator's operator. Three of them set it up: a token for the API, the
    CA's certificate for clients, and a line to paste for each probe host."""

    def __init__(self, trace: Root) -> None:
        self.trace = trace
        self._token = trace.run(
            "colotrace-coordinator",
            "token",
            "create",
            "--account",
            ACCOUNT,
            "--permission",
            "admin",
        ).strip()
        authority = trace.run("colotrace-coordinator", "ca", "show")
        trace.write(AUTHORITY, authority)

    def enroll(self, colo: str, *flags: str) -> str:
        """A join token for a colo."""
        printed = self.trace.run(
            "colotrace-coordinator", "agent", "enroll",
            "--colo", colo, "--city", CITIES[colo], *flags,
        )  # fmt: skip
        *_, command = printed.split()
        return command

    def join(self, host: Root, colo: str, *flags: str) -> None:
        """Enrol a host, whose unit then runs, and wait until its agent is attached."""
        host.run("colotrace-agent", "join", self.enroll(colo), *flags)
        self.wait_up(colo)

    def agents(self) -> list[dict[str, Any]]:
        """The enrolled agents, as `agent list --json` prints them."""
        found: list[dict[str, Any]] = json.loads(
            self.trace.run("colotrace-coordinator", "agent", "list", "--json")
        )
        return found

    def colotrace(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `colotrace` on the coordinator's host."""
        return self.trace.completed("env", *self._environment(), "colotrace", *arguments)

    def start_trace(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `colotrace trace`."""
        return self.trace.start("env", *self._environment(), "colotrace", "trace", *arguments)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows of `colotrace trace --json`, one for each colo of each target."""
        done = self.colotrace("trace", "--json", *arguments)
        try:
            return [row for each in json.loads(done.stdout)["result"] for row in each["colos"]]
        except (ValueError, KeyError) as error:
            raise AssertionError(f"{done.stdout}\n{done.stderr}") from error

    def up(self) -> dict[str, int]:
        """The colos that have agents, and how many."""
        done = self.colotrace("colos", "--json")
        if done.returncode:  # the coordinator is starting
            return {}
        colos = json.loads(done.stdout)["result"]
        return {each["name"]: each["agents"] for each in colos if each["state"] == "up"}

    def jobs(self) -> float:
        """How many jobs run at the coordinator, by its metrics."""
        told = self.trace.run("curl", "-sS", "--cacert", AUTHORITY, f"{URL}/metrics")
        return sum(
            float(line.rpartition(" ")[2])
            for line in told.splitlines()
            if line.startswith("colotrace_jobs_running")
        )

    def wait_up(self, *colos: str, within_s: float = 60) -> None:
        """Wait until exactly these colos are up."""
        wait_until(
            lambda: set(self.up()) == set(colos),
            within_s=within_s,
            error=lambda: AssertionError(f"up: {self.up()}, not {colos}"),
        )

    def _environment(self) -> list[str]:
        return [
            f"COLOTRACE_URL={URL}",
            f"COLOTRACE_TOKEN={self._token}",
            f"COLOTRACE_ACCOUNT={ACCOUNT}",
            f"COLOTRACE_CA_FILE={AUTHORITY}",
        ]
