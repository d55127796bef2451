"""Images built from deploy/Dockerfile and containers that run them, by podman.

No registry is needed: the base image is a Debian root with Python. Containers get what Docker and
Kubernetes give them, by the same runtime (runc): a user, capabilities, a root that is only read,
and a network namespace.
"""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from lab import namespaces

from installed.bases import CHECKOUT, base

DOCKERFILE = CHECKOUT / "deploy" / "Dockerfile"
TARGETS = ("agent", "coordinator", "cli")
_BASE = "localhost/debian"
# As Docker does for a user that is not root, --cap-drop ALL --cap-add NET_RAW: the bounding set
# alone. podman's --cap-add would make the capability ambient.
_CONFIGURATION = "[containers]\ndefault_capabilities = ['NET_RAW']\n"
_PYTHON = "localhost/python"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class ContainerError(RuntimeError):
    """podman failed; the text is what it printed."""


class Engine:
    """podman, with files of its own. Built layers are kept for the next run, in `.roots` of the
    checkout: a step is executed again when it or what it copies has changed."""

    def __init__(self) -> None:
        self._directory = CHECKOUT / ".roots" / "podman"
        self._configuration = self._directory / "containers.conf"

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._configuration.write_text(_CONFIGURATION)
        self.stop()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        # podman leaves it mounted on itself.
        storage = self._directory / "images" / "overlay"
        subprocess.run(["umount", storage], check=False, capture_output=True)

    def stop(self) -> None:
        """Remove all containers and volumes."""
        remove = ("rm", "--all", "--force", "--time", "10")
        self.podman(*remove, check=False)
        self.podman(*remove)  # those whose process namespace another one used
        self.podman("volume", "prune", "--force")

    def podman(self, *words: str | Path, check: bool = True, timeout: float = 600) -> str:
        """What podman prints on standard output."""
        done = self.completed(*words, timeout=timeout)
        if check and done.returncode:
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            raise ContainerError(f"podman {' '.join(map(str, words[:12]))}: {said}")
        return done.stdout

    def completed(
        self, *words: str | Path, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """podman's exit status and outputs."""
        # Steps of a build have the capabilities that they have elsewhere.
        own = {} if words[0] == "build" else {"CONTAINERS_CONF": str(self._configuration)}
        # Where systemd does not run, podman has no timers for health checks: tests run the checks.
        return subprocess.run(
            [*self._command(), *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self._directory),
                "DISABLE_HC_SYSTEMD": "true",
                **own,
            },
        )

    def build(self, target: str, *, suite: str = "trixie") -> str:
        """The image of a target of the Dockerfile, over Debian's Python."""
        self._import(suite)
        image = f"localhost/colotrace-{target}"
        self.bud(DOCKERFILE, image, "--build-arg", f"PYTHON={_PYTHON}", "--target", target)
        return image

    def bud(self, dockerfile: Path, image: str, *options: str) -> None:
        """Build an image from a Dockerfile, in a chroot."""
        # Of format docker, since that of OCI has no health checks.
        self.podman(
            *("build", "--quiet", "--isolation", "chroot", "--format", "docker", "--layers"),
            *("--file", dockerfile, "--tag", image, *options, CHECKOUT),
            timeout=900,
        )

    def _import(self, suite: str) -> None:
        if not self.completed("image", "exists", _PYTHON).returncode:
            return
        archive = self._directory / "base.tar"
        subprocess.run(["tar", "-C", base(suite), "-cf", archive, "."], check=True)
        self.podman("import", "--change", f"ENV PIP_CERT={_CERTIFICATES}", archive, _BASE)
        archive.unlink()
        install = (
            "apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv"
        )
        self.over_base(f"RUN {install} && rm -rf /var/lib/apt/lists/*\n", _PYTHON)

    def over_base(self, instructions: str, image: str) -> None:
        """Build an image over the Debian root, by instructions of a Dockerfile."""
        recipe = self._directory / "Dockerfile"
        recipe.write_text(f"FROM {_BASE}\n{instructions}")
        self.bud(recipe, image)

    def start(self, name: str, image: str, *words: str, options: Sequence[str]) -> int:
        """Start a container in the background; its process id."""
        self.podman("run", "--detach", "--name", name, *self.limits(), *options, image, *words)
        return self.pid(name)

    def pid(self, name: str) -> int:
        """The process id of a running container."""
        return int(self.podman("inspect", "--format", "{{.State.Pid}}", name))

    def run(self, image: str, *words: str, options: Sequence[str]) -> str:
        """What a container prints until it ends."""
        return self.podman("run", "--rm", *self.limits(), *options, image, *words)

    def execute(self, name: str, *words: str) -> str:
        """What a command in a running container prints."""
        return self.podman("exec", name, *words)

    def is_healthy(self, name: str) -> bool:
        """Whether the image's health check succeeds now."""
        return not self.completed("healthcheck", "run", name).returncode

    def logs(self, name: str) -> str:
        """Everything that a container has printed."""
        done = self.completed("logs", name)
        return done.stdout + done.stderr

    @staticmethod
    def limits() -> tuple[str, ...]:
        """Options of every container."""
        # podman's own are beyond what root may set in a container without CAP_SYS_RESOURCE.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return (
            *("--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096"),
            "--cgroups=no-conmon",
        )

    def _command(self) -> list[str | Path]:
        return [
            *("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "file", "--storage-driver", "overlay"),
            *("--root", self._directory / "images", "--runroot", self._directory / "run"),
            *("--tmpdir", self._directory / "tmp"),
        ]


def network(namespace: str) -> tuple[str, ...]:
    """The options of a container in a network namespace of the world, with the names there."""
    return (
        *("--network", f"ns:{namespaces.DIRECTORY / namespace}"),
        *("--dns", "10.71.0.1", "--dns-search", "example.net"),
    )
