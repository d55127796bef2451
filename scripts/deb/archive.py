"""One .deb: control data, documents, units, and the archive itself."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import documents
import manpages

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DEBIAN, SYSTEMD = DEPLOY / "debian", DEPLOY / "systemd"

# Settings of units that systemd has known since that version: older ones would warn of them.
_SETTINGS_SINCE = {"RestartSteps": 254, "RestartMaxDelaySec": 254}
# Debian's packages of the libraries that wheels may need from the host.
_LIBRARIES = {
    "libc.so.6": "libc6",
    "libm.so.6": "libc6",
    "libdl.so.2": "libc6",
    "libpthread.so.0": "libc6",
    "librt.so.1": "libc6",
    "ld-linux-x86-64.so.2": "libc6",
    "ld-linux-aarch64.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}


class Archive:
    """A package for one suite."""

    def __init__(
        self,
        name: str,
        package: dict[str, Any],
        *,
        settings: dict[str, Any],
        suite: str,
        version: str,
    ) -> None:
        self._name = name
        self._package = package
        self._maintainer = settings["maintainer"]
        self._suite_name, self._suite = suite, settings["suites"][suite]
        self._project_version = version
        # Packages of the next Debian are newer, so that an upgrade of Debian replaces them. A
        # pre-release (0.3.0rc1) is older than its release.
        own = re.sub(r"\.?(a|b|rc|dev)(\d+)$", r"~\1\2", version)
        self._version = f"{own}+deb{self._suite['debian']}"
        self._time = int(os.environ["SOURCE_DATE_EPOCH"])

    def build(self, stage: Path, out: Path) -> Path:
        """Complete the stage, which has the environment, and make the archive."""
        architecture = _output("dpkg", "--print-architecture").strip()
        self._documents(stage)
        self._service(stage)
        self._launcher(stage)
        _set_modes(stage)
        self._control(stage, architecture)
        for path in (stage, *stage.rglob("*")):
            os.utime(path, (self._time, self._time), follow_symlinks=False)
        file = out / f"{self._name}_{self._version}_{architecture}.deb"
        # One thread: the number of threads changes the compressed bytes.
        subprocess.run(
            [
                *("dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--threads-max=1"),
                *("--build", str(stage), str(file)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return file

    def _documents(self, stage: Path) -> None:
        environment = stage / "usr" / "lib" / self._name
        place = stage / "usr" / "share" / "doc" / self._name
        place.mkdir(parents=True)
        (place / "copyright").write_text(documents.copyright_of(environment))
        for path in documents.licences(environment):
            path.unlink()
        for path in sorted(environment.glob("*.dist-info/**/*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        log = documents.changelog(
            (ROOT / "CHANGELOG.md").read_text(),
            name=self._name,
            project_version=self._project_version,
            version=self._version,
            suite=self._suite_name,
            maintainer=self._maintainer,
            now=self._time,
        )
        _write_compressed(place / "changelog.gz", log)
        pages = stage / "usr" / "share" / "man" / "man1"
        pages.mkdir(parents=True)
        for name, page in manpages.pages(
            self._name,
            self._package["command_line"],
            version=self._project_version,
            now=self._time,
        ):
            _write_compressed(pages / f"{name}.1.gz", page)
        for name, example in self._package.get("examples", {}).items():
            examples = place / "examples"
            examples.mkdir(exist_ok=True)
            shutil.copyfile(DEPLOY / example, examples / name)
        overrides = DEBIAN / self._name / "lintian-overrides"
        if overrides.exists():
            place = stage / "usr" / "share" / "lintian" / "overrides"
            place.mkdir(parents=True)
            shutil.copyfile(overrides, place / self._name)

    def _service(self, stage: Path) -> None:
        if (unit := self._package.get("unit")) is None:
            return
        units = stage / "usr" / "lib" / "systemd" / "system"
        users = stage / "usr" / "lib" / "sysusers.d"
        settings = stage / "etc" / "colotrace"
        for place in (units, users, settings):
            place.mkdir(parents=True)
        for name in (f"{self._name}.service", *self._package.get("more_units", ())):
            text = (SYSTEMD / name).read_text().replace("/opt/colotrace/bin/", "/usr/bin/")
            for setting, since in _SETTINGS_SINCE.items():
                if self._suite["systemd"] < since:
                    text = re.sub(rf"(?m)^{setting}=.*\n", "", text)
            (units / name).write_text(text)
        kernel = SYSTEMD / f"{self._name}.sysctl"
        if kernel.exists():
            # Its number is low, so that the administrator's files have the last word.
            place = stage / "usr" / "lib" / "sysctl.d" / f"10-{self._name}.conf"
            place.parent.mkdir(parents=True)
            shutil.copyfile(kernel, place)
        lines = (SYSTEMD / "colotrace.sysusers").read_text().splitlines(keepends=True)
        own = [line for line in lines if line.split()[1:2] == [self._name]]
        (users / f"{self._name}.conf").write_text("".join(own))
        shutil.copyfile(SYSTEMD / f"{unit}.env", settings / f"{unit}.env")

    def _launcher(self, stage: Path) -> None:
        own = DEBIAN / self._name / "launcher"
        template = own if own.exists() else DEBIAN / "launcher"
        module = self._package["command_line"].partition(".")[0]
        text = template.read_text().replace("@NAME@", self._name).replace("@MODULE@", module)
        launcher = stage / "usr" / "bin" / self._name
        launcher.parent.mkdir(parents=True)
        launcher.write_text(text)

    def _control(self, stage: Path, architecture: str) -> None:
        control = stage / "DEBIAN"
        files = sorted(path for path in stage.rglob("*") if path.is_file())
        sums = [(hashlib.md5(path.read_bytes()), path) for path in files]  # noqa: S324 - dpkg's
        size = sum(-(-path.stat().st_size // 1024) for path in files)
        control.mkdir()
        (control / "md5sums").write_text(
            "".join(f"{each.hexdigest()}  {path.relative_to(stage)}\n" for each, path in sums)
        )
        settings = [f"/{path.relative_to(stage)}" for path in files if path.parts[-3] == "etc"]
        if settings:
            (control / "conffiles").write_text("".join(f"{path}\n" for path in settings))
        fields = {
            "Package": self._name,
            "Version": self._version,
            "Architecture": architecture,
            "Maintainer": self._maintainer,
            "Installed-Size": str(size),
            "Depends": ", ".join(self._depends(files)),
            "Suggests": ", ".join(self._package["suggests"]),
            "Section": "net",
            "Priority": "optional",
            "Description": f"{self._package['summary']}\n{_extended(self._package['description'])}",
        }
        text = "".join(f"{key}: {value}\n" for key, value in fields.items())
        (control / "control").write_text(text)
        for script in ("postinst", "prerm", "postrm"):
            if (own := DEBIAN / self._name / script).exists() or (own := DEBIAN / script).exists():
                text = own.read_text().replace("@NAME@", self._name)
                (control / script).write_text(text)
                (control / script).chmod(0o755)

    def _depends(self, files: list[Path]) -> list[str]:
        python = self._suite["python"]
        major, minor = map(int, python.split("."))
        needed = {f"libc6 (>= {self._suite['glibc']})"}
        own = {path.name for path in files}
        for path in files:
            if ".so" not in path.name:
                continue
            dynamic = _output("readelf", "--dynamic", str(path))
            for library in re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic):
                if library not in own and (name := _LIBRARIES[library]) != "libc6":
                    needed.add(name)
        if "unit" in self._package:
            needed.add("passwd")
        return [
            f"python3 (>= {python}~)",
            f"python3 (<< {major}.{minor + 1}~)",
            *sorted(needed),
        ]


def _set_modes(stage: Path) -> None:
    """Modes do not depend on the build host. Settings may hold passwords: root alone reads them."""
    stage.chmod(0o755)
    for path in stage.rglob("*"):
        name = path.relative_to(stage)
        private = name.parts[0] == "etc" and path.is_file()
        program = path.is_dir() or name.parts[:2] == ("usr", "bin")
        path.chmod(0o640 if private else 0o755 if program else 0o644)


def _extended(text: str) -> str:
    """The long description, as the control file has it."""
    paragraphs = (textwrap.fill(each, 78) for each in text.strip().split("\n\n"))
    return "\n .\n".join(textwrap.indent(each, " ") for each in paragraphs)


def _write_compressed(file: Path, text: str) -> None:
    file.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
