"""Runs the services of a compose file by podman, each in a network namespace of the world.

Docker Compose reads the file; containers get from it what its services have, except limits of
memory and processes, which need a cgroup of our own. Images of others cannot be had without a
registry: stand-ins have the same program from Debian's packages, and the same paths and users.
"""

from __future__ import annotations

import base64
import graphlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventually import wait_until

from installed.bases import base
from installed.containers import Engine, network
from installed.world import World

_APT = "apt-get -qq update && apt-get -qq install -y --no-install-recommends"
_POSTGRES = r"""#!/bin/sh
set -eu
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D $data -U "$POSTGRES_USER" --pwfile /tmp/password --auth scram-sha-256 >/dev/null
  echo "host all all all scram-sha-256" >> $data/pg_hba.conf
  echo "CREATE DATABASE $POSTGRES_USER" | postgres --single -D $data postgres >/dev/null
fi
exec postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
"""
STAND_INS = {
    "postgres": f"""
RUN groupadd -g 70 seventy && useradd -u 70 -g 70 seventy && {_APT} postgresql && \\
    ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ && rm -rf /var/lib/postgresql && \\
    install -d -o 70 -g 70 -m 0700 /var/lib/postgresql/data && chmod 3777 /run/postgresql && \\
    echo {{script}} | base64 -d > /usr/local/bin/start && chmod +x /usr/local/bin/start
CMD ["/usr/local/bin/start"]
""",
    "eclipse-mosquitto": f"""
RUN {_APT} mosquitto netcat-openbsd
CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
""",
    "prom/prometheus": f"""
RUN {_APT} prometheus wget && install -d -o 65534 -g 65534 /prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]
""",
}
"""By the image's name: what its Dockerfile has beyond the base."""


class Composed:
    """The services of a file. `without` names those for which there is no stand-in."""

    def __init__(
        self, engine: Engine, world: World, file: Path, *, without: frozenset[str] = frozenset()
    ) -> None:
        self._engine = engine
        self._world = world
        command = [Path(sys.executable).with_name("docker-compose"), "--file", file, "config"]
        told = subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, check=True
        ).stdout
        whole = json.loads(told.replace("$$", "$"))  # `config` prints $ as it is written in files
        self.services: dict[str, dict[str, Any]] = {
            name: each for name, each in whole["services"].items() if name not in without
        }
        self._volumes: dict[str, dict[str, Any]] = whole["volumes"]
        self._images: dict[str, str] = {}

    def up(self) -> None:
        """Start all in the order of `depends_on`, and wait until those with a check are healthy."""
        for name, volume in self._volumes.items():
            options = (volume or {}).get("driver_opts", {}).items()
            flags = [word for key, value in options for word in ("--opt", f"{key}={value}")]
            self._engine.podman("volume", "create", *flags, name)
        after = {name: set(each.get("depends_on") or ()) for name, each in self.services.items()}
        order = list(graphlib.TopologicalSorter(after).static_order())
        for name in order:
            self._world.root(name, base("trixie"))
        for name in order:
            for other, condition in (self.services[name].get("depends_on") or {}).items():
                self._wait(other, condition["condition"])
            self._start(name)
        for name, each in self.services.items():
            if each.get("restart"):
                self._wait(name, "service_healthy")

    def _wait(self, name: str, condition: str) -> None:
        def completed() -> bool:
            code = self._engine.podman(
                "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name
            )
            return code.split() == ["exited", "0"]

        met: Callable[[], bool] = {
            "service_started": lambda: True,  # `_start` waits until it is
            "service_healthy": lambda: self._engine.is_healthy(name),
            "service_completed_successfully": completed,
        }[condition]
        wait_until(
            met,
            within_s=60,
            error=lambda: TimeoutError(f"{name}: {condition}:\n{self._engine.logs(name)[-3000:]}"),
        )

    def _start(self, name: str) -> None:
        service = self.services[name]
        entry = service.get("entrypoint")
        words = [*(entry[1:] if entry else ()), *(service.get("command") or ())]
        self._engine.podman(
            *("run", "--detach", "--name", name, *self._engine.limits()),
            *network(self._world.roots[name].namespace),
            *self._options(service),
            *(("--entrypoint", entry[0]) if entry else ()),
            self._image(service),
            *words,
        )

    @staticmethod
    def _options(service: dict[str, Any]) -> list[str]:
        options = ["--read-only", "--read-only-tmpfs=false"] if service.get("read_only") else []
        # Another set of capabilities is what `Engine` gives to all.
        options += ["--cap-drop", "ALL"] if service.get("cap_add") != ["NET_RAW"] else []
        for each in service.get("security_opt", ()):
            options += ["--security-opt", each.partition(":")[0]]
        for key, value in (service.get("environment") or {}).items():
            options += ["--env", f"{key}={value}"]
        for each in service.get("tmpfs", ()):
            # podman's tmpfs takes no owner; it has the mode of the image's directory.
            options += ["--tmpfs", each.partition(":")[0]]
        for each in service.get("volumes", ()):
            mode = ":ro" if each.get("read_only") else ""
            options += ["--volume", f"{each['source']}:{each['target']}{mode}"]
        if user := service.get("user"):
            options += ["--user", user]
        if hostname := service.get("hostname"):
            options += ["--hostname", hostname]
        if pid := service.get("pid"):
            options += ["--pid", pid.replace("service:", "container:")]
        check = service.get("healthcheck") or {}
        if check.get("test"):
            options += ["--health-cmd", json.dumps(check["test"][1:])]
        return options

    def _image(self, service: dict[str, Any]) -> str:
        if "build" in service:
            return f"localhost/colotrace-{service['build']['target']}"
        name = service["image"].rpartition(":")[0]
        image = f"localhost/stand-in-{name.replace('/', '-')}"
        if name not in self._images:
            self._engine.over_base(STAND_INS[name].replace("{script}", _encoded(_POSTGRES)), image)
            self._images[name] = image
        return image


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
