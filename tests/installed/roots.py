"""Debian hosts, booted by systemd-nspawn.

Each host is an overlay over a base that is only read, in a network namespace of its own. Before it
boots, packages can be installed in it, for which it uses this machine's network.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

from lab import namespaces
from lab.owner import MARK, Tag
from lab.processes import Process

HOME = "/root"
"""Of root in a host."""
_BOOT_S = 60.0
_STOP_S = 40.0

# An overlay and a cgroup tree of version 2 (systemd 257 refuses version 1), in a mount namespace of
# its own, so that both go with the last process.
_ENTER = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
if [ -n "$3" ]; then
  umount -R /sys/fs/cgroup 2>/dev/null || true
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p "/sys/fs/cgroup/$3"
  echo $$ > "/sys/fs/cgroup/$3/cgroup.procs"
fi
shift 3
exec "$@"
"""


class RootError(RuntimeError):
    """A host did not boot, or a command in it failed."""


class Root:
    """A Debian host. It is made by `World.root`, installed, booted, and entered by `run`."""

    def __init__(
        self, name: str, directory: Path, *, lower: str, number: int, tag: Tag, resolv_conf: str
    ) -> None:
        """`number`: of its network, its namespace and its interface of the router."""
        self.name = name
        self.address4 = f"10.71.{number}.2"
        self.address6 = f"fd71:{number}::2"
        self.namespace = f"{tag}-r{number}"
        self.directory = directory
        self._lower = lower
        self._tag = tag
        self._resolv_conf = resolv_conf
        self._nspawn: Process | None = None
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True)

    @property
    def layers(self) -> str:
        """This host's files as the lower layers of another host's overlay. It must not run then."""
        return f"{self.directory / 'upper'}:{self._lower}"

    def install(self, *packages: Path | str, timeout: float = 300) -> str:
        """Have apt install packages of Debian's or .deb files, before the host boots."""
        copies = []
        for package in packages:
            if isinstance(package, Path):
                copies.append(f"{HOME}/{package.name}")
                self.put(package, copies[-1])
            else:
                copies.append(package)
        return self.change(
            "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "
            f"--no-install-recommends --allow-downgrades {shlex.join(copies)}",
            timeout=timeout,
        )

    def change(self, script: str, *, timeout: float = 300) -> str:
        """Run a shell script in the host before it boots, on this machine's network."""
        if self._nspawn:
            raise RootError(f"{self.name} runs")
        command = [
            *self._nspawn_command(),
            "--pipe",
            "--resolv-conf=bind-host",
            "--setenv=LC_ALL=C.UTF-8",
            "/bin/sh",
            "-c",
            script,
        ]
        done = subprocess.run(
            self._entered(command, cgroup=""),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env=self._environment(),
        )
        return self._checked(script, done, check=True)

    def put(self, source: Path, path: str) -> None:
        """Copy a file into the host, before it boots or after."""
        self._write(path, source.read_bytes())

    def write(self, path: str, text: str) -> None:
        """Write a file of the host, before it boots or after."""
        self._write(path, text.encode())

    def append(self, path: str, text: str) -> None:
        """Append to a file of the host, before it boots or after."""
        self._write(path, text.encode(), how=">>")

    def boot(self) -> None:
        """Start the host's systemd, and wait until every unit of its target has started."""
        self.write("/etc/resolv.conf", self._resolv_conf)
        self.write("/etc/hostname", f"{self.name}\n")
        command = [
            *self._nspawn_command(),
            "--boot",
            f"--network-namespace-path={namespaces.DIRECTORY / self.namespace}",
            f"--hostname={self.name}",
            "--resolv-conf=off",
            "--console=read-only",
        ]
        log = (self.directory / "console").open("ab")
        with log:
            self._nspawn = Process(
                self._entered(command, cgroup=f"{self._tag}-{self.name}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environment(),
            )
        self._wait_booted()

    def run(
        self,
        *command: str,
        input: str | None = None,  # noqa: A002 (as subprocess calls it)
        check: bool = True,
        timeout: float = 60,
    ) -> str:
        """Run a command in the booted host as root; what it prints on standard output.

        Raises RootError with both outputs if it fails, unless `check` is False.
        """
        done = self.completed(*command, input=input, timeout=timeout)
        return self._checked(shlex.join(command), done, check=check)

    def completed(
        self,
        *command: str,
        input: str | None = None,  # noqa: A002
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """As `run`, with the exit status and both outputs."""
        return subprocess.run(
            self.inside(*command),
            capture_output=True,
            text=True,
            timeout=timeout,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the booted host, with pipes from its outputs."""
        return subprocess.Popen(
            self.inside(*command),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def journal(self, unit: str) -> str:
        """What a unit has logged since the host was made."""
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    def reboot(self) -> None:
        """Reboot the host as its operator would, and wait until it is up again."""
        self._end("reboot")
        self.boot()

    def power_off(self) -> None:
        """Shut the host down in order."""
        self._end("poweroff")

    def _end(self, verb: str) -> None:
        if self._nspawn is None:
            return
        subprocess.run(
            self.inside("systemctl", "--no-block", verb), check=True, capture_output=True
        )
        self._nspawn.wait(timeout=_STOP_S)
        self._nspawn = None

    def kill(self) -> None:
        """End the host at once, as a power failure does."""
        if self._nspawn is not None:
            # Its systemd would go on without nspawn; all other processes end with it.
            with contextlib.suppress(RootError, ProcessLookupError):
                leader = os.pidfd_open(self._leader())
                signal.pidfd_send_signal(leader, signal.SIGKILL)
                select.select([leader], [], [], _STOP_S)  # readable once it has ended
                os.close(leader)
            self._nspawn.kill()
            self._nspawn.wait()
            self._nspawn = None

    def remove(self) -> None:
        """End the host, and remove its files and its network."""
        self.kill()
        namespaces.delete([self.namespace])
        shutil.rmtree(self.directory)
        for mounted in _cgroup_mounts():
            _remove_cgroup(mounted / f"{self._tag}-{self.name}")

    def _wait_booted(self) -> None:
        deadline = time.monotonic() + _BOOT_S
        state = "no systemd yet"
        while time.monotonic() < deadline:
            if self._nspawn is None or self._nspawn.poll() is not None:
                break
            with contextlib.suppress(RootError, subprocess.TimeoutExpired):
                state = self.completed("systemctl", "is-system-running").stdout.strip()
                if state in {"running", "degraded"}:
                    return
            time.sleep(0.1)
        raise RootError(f"{self.name} did not boot ({state}):\n{self.console()[-3000:]}")

    def console(self) -> str:
        """What the host has printed on its console, over all boots."""
        path = self.directory / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    def _leader(self) -> int:
        """The process id of the host's systemd."""
        if self._nspawn is None:
            raise RootError(f"{self.name} is not booted")
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() in {"systemd", "init"}:
                    return int(child)
        raise RootError(f"{self.name} has no systemd yet")

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command in the booted host as root."""
        return [
            "nsenter",
            f"--target={self._leader()}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--root",
            f"--wd={HOME}",
            "env",
            "-i",
            f"HOME={HOME}",
            "LC_ALL=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            *command,
        ]

    def _nspawn_command(self) -> list[str]:
        command = [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.directory / 'root'}",
            "--register=no",
            f"--machine={self.name}",
        ]
        # Where systemd runs, it makes the container's cgroup; elsewhere `_ENTER` has made it.
        return command if Path("/run/systemd/system").is_dir() else [*command, "--keep-unit"]

    def _entered(self, command: list[str], *, cgroup: str) -> list[str]:
        own_cgroup = "" if Path("/run/systemd/system").is_dir() else cgroup
        return [
            "unshare",
            "--mount",
            "sh",
            "-c",
            _ENTER,
            "sh",
            self._lower,
            str(self.directory),
            own_cgroup,
            *command,
        ]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            MARK: str(self._tag),
        }

    def _write(self, path: str, data: bytes, *, how: str = ">") -> None:
        script = f'mkdir -p "$(dirname "$1")" && cat {how} "$1"'
        if self._nspawn:
            command = self.inside("sh", "-c", script, "sh", path)
        else:
            path = f"{self.directory / 'root'}{path}"
            command = self._entered(["sh", "-c", script, "sh", path], cgroup="")
        subprocess.run(command, input=data, check=True)

    def _checked(self, what: str, done: subprocess.CompletedProcess[str], *, check: bool) -> str:
        if check and done.returncode:
            raise RootError(
                f"{self.name}: {what}: exit {done.returncode}\n"
                f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done.stdout


def _cgroup_mounts() -> list[Path]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [Path(fields[1]) for fields in map(str.split, lines) if fields[2] == "cgroup2"]


def _remove_cgroup(directory: Path) -> None:
    if directory.is_dir():
        for inner, _, _ in os.walk(directory, topdown=False):
            with contextlib.suppress(OSError):
                Path(inner).rmdir()
