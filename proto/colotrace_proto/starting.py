"""Starts a program, and explains failures caused by the host or the installation.

A program that cannot run on this host ends with exit code 2 and one line on standard error, with
the fault and the remedy. Any other exception is a bug and keeps its traceback.
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
    """A program of this distribution. `extra` installs its packages; `colotrace_EXTRA.main` has its
    `main()`."""

    name: str
    extra: str
    address_space: int
    """Least address space in bytes; with less, its libraries abort instead of raising."""


_up = threading.Event()


def mark_started() -> None:
    """Mark the start as successful.

    A later fault of the same kind may be temporary. It then keeps its traceback and ends the
    process with code 1, so that a supervisor restarts the program.
    """
    _up.set()


def start(program: Program) -> None:
    """Run the program's `main()`; explain what it lacks, with exit code 2."""
    # numpy's arrays are small here: threads would only take address space, and may be refused.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        _require_address_space(program.address_space)
        importlib.import_module(f"colotrace_{program.extra}.main").main()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        words = None if _up.is_set() else explain(error, program)
        if words is None:
            raise
        say(f"{program.name}: {words}")
        sys.exit(EXIT_UNUSABLE)


def explain(error: BaseException, program: Program) -> str | None:
    """Fault and remedy if the host or the installation is the cause; otherwise None."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ModuleNotFoundError) and not _is_ours(error.name or ""):
        package = (error.name or "").partition(".")[0]
        return (
            f"the Python package {package!r} is missing: this program needs the extra "
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
    """Check that so many more descriptors and threads are available, and `address_space` bytes.

    Without them, uvloop and gRPC abort the process, and asyncio adds warnings to its error.

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
            # One at a time, so that an error leaves a list of descriptors to close.
            opened.append(os.open("/", os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401
        for _ in range(threads):
            thread = threading.Thread(target=done.wait, name="resource check")
            thread.start()
            started.append(thread)
    finally:
        done.set()
        for thread in started:
            thread.join()
        for descriptor in opened:
            os.close(descriptor)


def install_line(*extras: str) -> str:
    """A command that installs the requirements of these extras into this Python environment.

    It names the packages, because pip cannot find colotrace itself if it was installed from a
    checkout or a wheel.
    """
    from importlib import metadata  # slow to import

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
    """The root cause, on one line: packages add pages of advice."""
    cause: BaseException = error
    while isinstance(cause.__cause__ or cause.__context__, ImportError):
        cause = cause.__cause__ or cause.__context__ or cause
    return " ".join(str(cause).split())


def _is_of(requirement: str, extra: str) -> bool:
    marker = requirement.partition(";")[2].replace('"', "'")
    return f"extra == '{extra}'" in marker


def _is_ours(module: str) -> bool:
    return module.startswith("colotrace_")
