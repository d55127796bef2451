"""A fleet over TLS whose agents enrol, each by the line that the coordinator prints."""

from __future__ import annotations

import ssl
from pathlib import Path

from eventually import wait_until

from fleet.flags import OWN, fitting
from fleet.fleet import AgentSpec, Fleet, FleetError


class EnrolledFleet(Fleet):
    """The coordinator has a CA of its own; nothing but the line of `enroll` is given to agents."""

    @property
    def url(self) -> str:
        """The coordinator's root, without a path."""
        return f"https://{self._http}"

    @property
    def join(self) -> str:
        """HOST:PORT at which agents enrol and renew their certificates."""
        return self._join

    def _security(self) -> tuple[str, ...]:
        return ("--name", self._grpc_host, "--join", self._join or f"{self._grpc_host}:0")

    def start_coordinator(self) -> None:
        """See `Fleet`; clients trust its CA from then on."""
        super().start_coordinator()
        self.trust = ssl.create_default_context(cadata=self.command("ca", "show"))

    def state(self, agent_id: str) -> Path:
        """The agent's directory."""
        return self.directory / "state" / agent_id

    def start_agent(self, spec: AgentSpec, *, name: str = "", reachable: bool = True) -> None:
        """Has it join; a second time it runs with what it has kept. It runs as another user, for
        which its directory is `reachable`."""
        name = name or spec.agent_id
        state = self.state(name)
        if state.exists():
            argv = ["run", "--state-dir", state, *self._agent_flags]
        else:
            line = self.command("agent", "enroll", "--colo", spec.colo, "--city", spec.city)
            program, join, token = line.split()
            assert (program, join) == ("colotrace-agent", "join")
            argv = [
                "join", token, "--state-dir", state, "--agent-id", spec.agent_id, "--allow-private",
                *self._agent_flags,
            ]  # fmt: skip
        if reachable:
            self.directory.chmod(0o711)
        with self.agent_log(name).open("ab") as stream:
            self.agents[name] = self._spawner(self.agent_programs)(
                spec.host,
                fitting([self.agent_programs / "colotrace-agent", *argv]),
                stdout=stream,
                stderr=stream,
            )

    def join_only(self, spec: AgentSpec) -> None:
        """Has it enrol; `start_agent` runs it then."""
        line = self.command(
            "agent", "enroll", "--colo", spec.colo, "--city", spec.city, "--address", self._join
        )
        argv = [
            OWN / "colotrace-agent", *line.split()[1:], "--only", "--allow-private",
            "--state-dir", self.state(spec.agent_id), "--agent-id", spec.agent_id,
        ]  # fmt: skip
        self.directory.chmod(0o711)
        done = self.lab.run_forked(spec.host, argv)
        if done.returncode:
            raise FleetError(done.stderr)

    def wait_logged(self, agent_id: str, words: str, *, within_s: float = 20) -> None:
        """Wait until an agent has logged this."""
        log = self.agent_log(agent_id)
        wait_until(lambda: words in log.read_text(), within_s=within_s)
