"""The start of a program: missing packages, and what the host refuses, in words.

A program that cannot run on this host ends with exit code 2 and one line on standard error that
names the fault and the remedy. Any other exception is a fault of the program and keeps its
traceback.
"""

import errno
import importlib
import shlex
import sys
from dataclasses import dataclass

EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130

_FILES = "raise its limit on open files (ulimit -n, LimitNOFILE= in a systemd unit)"
_PROCESSES = (
    "raise its limit on processes and threads (ulimit -u, TasksMax= in a systemd unit, "
    "--pids-limit of a container)"
)
_MEMORY = "give it more memory (ulimit -v, MemoryMax= in a systemd unit, --memory of a container)"
_REMEDIES = {
    errno.EMFILE: _FILES,
    errno.ENFILE: "raise the host's limit on open files (sysctl fs.file-max)",
    errno.EAGAIN: _PROCESSES,
    errno.ENOMEM: _MEMORY,
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program of this distribution; `extra` is the extra that its packages come with."""

    name: str
    module: str
    """What has its `main()`."""
    extra: str


def start(program: Program) -> None:
    """Run the program's `main()`; what it cannot run without is named, with exit code 2."""
    try:
        importlib.import_module(program.module).main()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        words = explain(error, program)
        if words is None:
            raise
        sys.stderr.write(f"{program.name}: {words}\n")
        sys.exit(EXIT_UNUSABLE)


def explain(error: BaseException, program: Program) -> str | None:
    """Fault and remedy where the host or the installation is at fault; None for other errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ModuleNotFoundError) and not _is_ours(error.name or ""):
        return (
            f"the Python package {error.name!r} is missing: this program needs the extra "
            f"{program.extra!r}; run: {install_line(program.extra)}"
        )
    if isinstance(error, ImportError) and not _is_ours(error.name or ""):
        return f"a library cannot be loaded ({error}); install it, or {_MEMORY}"
    if isinstance(error, MemoryError):
        return f"out of memory: {_MEMORY}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return f"cannot start a thread: {_PROCESSES}"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return f"{error.strerror}: {_REMEDIES[error.errno]}"
    return None


def install_line(*extras: str) -> str:
    """A command that installs what these extras need into this Python environment.

    It names the packages themselves: colotrace may have been installed from a checkout or a
    wheel, which pip would not find again by colotrace's name.
    """
    from importlib import metadata  # takes longer than all the rest

    wanted = [
        requirement.partition(";")[0].strip()
        for extra in extras
        for requirement in metadata.requires("colotrace") or ()
        if _is_of(requirement, extra)
    ]
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def _is_of(requirement: str, extra: str) -> bool:
    marker = requirement.partition(";")[2].replace('"', "'")
    return f"extra == '{extra}'" in marker


def _is_ours(module: str) -> bool:
    return module.startswith("colotrace_")
