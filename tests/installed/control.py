"""A control host of Ansible: playbooks run from the router, over SSH, against booted hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.owner import MARK

from installed.bases import CHECKOUT
from installed.roots import Root
from installed.world import World

DIRECTORY = CHECKOUT / "deploy" / "ansible"
USER = "ansible"
"""Whom the hosts let in. It may become root by sudo, as on hosts in the cloud."""

_RECAP = re.compile(
    r"^(?P<host>\S+) +: ok=\d+ +changed=(?P<changed>\d+) +unreachable=(?P<unreachable>\d+) "
    r"+failed=(?P<failed>\d+)",
    re.MULTILINE,
)


class PlaybookError(RuntimeError):
    """A playbook failed."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a run printed, and how many tasks changed each host."""

    output: str
    changed: dict[str, int]


class Control:
    """Runs the playbook of `deploy/ansible` with an inventory of the test's."""

    def __init__(self, made: World, directory: Path) -> None:
        self._world = made
        self._directory = directory
        self._key = directory / "key"
        directory.mkdir()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True
        )

    def admit(self, root: Root) -> None:
        """Let this control host into a host, before that boots."""
        root.install("openssh-server", "sudo", "python3-apt")
        root.change(
            f"useradd --create-home --shell /bin/sh {USER} && "
            f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{USER}"
        )
        root.write(f"/home/{USER}/.ssh/authorized_keys", self._key.with_suffix(".pub").read_text())
        root.change(f"chown -R {USER}: /home/{USER}/.ssh")

    def play(self, groups: dict[str, dict[str, dict[str, Any]]], *options: str) -> Played:
        """Run the playbook against groups of hosts with their variables.

        Raises PlaybookError with the output if a task failed, or a host was not reached.
        """
        inventory = {
            group: {
                "hosts": {
                    name: {"ansible_host": self._world.roots[name].address4, **variables}
                    for name, variables in hosts.items()
                }
            }
            for group, hosts in groups.items()
        }
        file = self._directory / "inventory.json"
        file.write_text(json.dumps(inventory))
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            self._world.on_router(
                str(program), "--inventory", str(file), *options, str(DIRECTORY / "site.yaml")
            ),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
            env=self._environment(),
        )
        output = done.stdout + done.stderr
        recap = list(_RECAP.finditer(output))
        if done.returncode or not recap:
            raise PlaybookError(f"ansible-playbook: exit {done.returncode}\n{output[-6000:]}")
        return Played(output, {each["host"]: int(each["changed"]) for each in recap})

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "LC_ALL": "C.UTF-8",
            MARK: str(self._world.tag),
            "ANSIBLE_HOME": str(self._directory),
            "ANSIBLE_REMOTE_USER": USER,
            "ANSIBLE_PRIVATE_KEY_FILE": str(self._key),
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_PIPELINING": "True",
            # The paths of sockets are at most 107 bytes. Open connections end with the world.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._world.tag.state),
            "ANSIBLE_NOCOLOR": "1",
        }
