"""The start of a program: missing packages, and what the host refuses, in words.

A program that cannot run on this host ends with exit code 2 and one line on standard error that
names the fault and the remedy. Any other exception is a fault of the program and keeps its
traceback.
"""

import errno
import importlib
import os
import resource
import shlex
import sys
import threading
from dataclasses import dataclass

from .output import EXIT_INTERRUPTED, say

EXIT_UNUSABLE = 2


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
    address_space: int
    """Bytes below which its libraries abort instead of raising an exception."""


_up = threading.Event()


def is_up() -> None:
    """Tell that the start has succeeded: a later fault of the same kind may pass.

    It keeps its traceback and ends the process with code 1, on which a supervisor starts it again.
    """
    _up.set()


def start(program: Program) -> None:
    """Run the program's `main()`; what it cannot start without is named, with exit code 2."""
    # numpy's arrays here are small: threads would only take address space, and may not be had.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        _require_address_space(program.address_space)
        importlib.import_module(program.module).main()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        words = None if _up.is_set() else explain(error, program)
        if words is None:
            raise
        say(f"{program.name}: {words}")
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
        return f"a library cannot be loaded ({_root(error)}); install it, or {_MEMORY}"
    if isinstance(error, MemoryError):
        return f"out of memory: {_MEMORY}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return f"cannot start a thread: {_PROCESSES}, or {_MEMORY}"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return f"{error.strerror}: {_REMEDIES[error.errno]}"
    return None


def require(*, files: int, threads: int = 0, address_space: int = 0) -> None:
    """Make sure that so many more descriptors and threads can be had, and `address_space` bytes.

    Libraries (uvloop, gRPC) abort the process where they cannot have theirs, and asyncio leaves
    warnings beside its error.

    Raises:
        OSError: too few descriptors.
        RuntimeError: too few threads.
        MemoryError: too little address space.
    """
    _require_address_space(address_space)
    opened: list[int] = []
    started: list[threading.Thread] = []
    done = threading.Event()
    try:
        for _ in range(files):
            # One at a time: those that were had are closed again.
            opened.append(os.open("/", os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401
        for _ in range(threads):
            thread = threading.Thread(target=done.wait, name="can be had")
            thread.start()
            started.append(thread)
    finally:
        done.set()
        for thread in started:
            thread.join()
        for descriptor in opened:
            os.close(descriptor)


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


def _require_address_space(least: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < least:
        raise MemoryError


def _root(error: ImportError) -> str:
    """The first cause, on one line: packages put pages of advice around it."""
    cause: BaseException = error
    while isinstance(cause.__cause__ or cause.__context__, ImportError):
        cause = cause.__cause__ or cause.__context__ or cause
    return " ".join(str(cause).split())


def _is_of(requirement: str, extra: str) -> bool:
    marker = requirement.partition(";")[2].replace('"', "'")
    return f"extra == '{extra}'" in marker


def _is_ours(module: str) -> bool:
    return module.startswith("colotrace_")
