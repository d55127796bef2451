"""A helper process in a namespace that runs and times programs and HTTP requests.

Run by `driver.Driver`, with the standard library only; one line of JSON for each request and
answer. It is already inside the namespace, so that the milliseconds for entering it are not
measured.
"""

import http.client
import json
import resource
import select
import subprocess
import sys
import tempfile
import time
from typing import Any

_TIMEOUT_S = 60
_LOOK_S = 0.02
_connections: dict[str, http.client.HTTPConnection] = {}


def run(argv: list[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a program: `wall_ms` from start to exit, `cpu_ms`, and its output."""
    before = _children_cpu_s()
    began = time.perf_counter()
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            close_fds=False,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": f"{argv[0]}: {error}"}
    wall_s = time.perf_counter() - began
    return {
        "wall_ms": wall_s * 1e3,
        "cpu_ms": (_children_cpu_s() - before) * 1e3,
        "status": done.returncode,
        "stdout": done.stdout,
        "stderr": done.stderr,
    }


def watch(argv: list[str], out: str, most_s: float = _TIMEOUT_S) -> dict[str, Any]:
    """Like `run`, with standard output in a file, and monitoring.

    Adds `peak_mb` (VmHWM); `overflows`, packets dropped by raw sockets of this namespace; and
    `kept_ms`, time spent runnable but waiting for a core (/proc/PID/schedstat). After `most_s` the
    program is terminated, which is not a failure.
    """
    before, began = _children_cpu_s(), time.perf_counter()
    peak_kb, kept_ns, overflows, told_to_end = 0, 0, {}, False
    with open(out, "wb") as written, tempfile.TemporaryFile() as said:  # noqa: PTH123
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=written, stderr=said)
        while process.poll() is None:
            peak_kb = max(peak_kb, _peak_kb(process.pid))
            kept_ns = max(kept_ns, _kept_ns(process.pid))
            overflows.update(_overflows())
            if not told_to_end and time.perf_counter() > began + most_s:
                process.terminate()
                told_to_end = True
            elif time.perf_counter() > began + most_s + _TIMEOUT_S:
                process.kill()
            time.sleep(_LOOK_S)
        wall_s = time.perf_counter() - began
        said.seek(0)
        words = said.read()
    return {
        "wall_ms": wall_s * 1e3,
        "cpu_ms": (_children_cpu_s() - before) * 1e3,
        "peak_mb": peak_kb / 1024,
        "kept_ms": kept_ns / 1e6,
        "overflows": sum(overflows.values()),
        "status": 0 if told_to_end else process.returncode,
        "stderr": words[-2_000:].decode(errors="replace"),
    }


def _peak_kb(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM")), 0)
    except OSError:  # the process has ended
        return 0


def _kept_ns(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/schedstat") as told:  # noqa: PTH123
            return int(told.read().split()[1])
    except (OSError, IndexError):  # the process has ended, or the kernel does not count this
        return 0


def _overflows() -> dict[str, int]:
    """Packets dropped by each raw socket (proc(5): the last column)."""
    found = {}
    for name in ("raw", "raw6"):
        try:
            with open(f"/proc/net/{name}") as sockets:  # noqa: PTH123
                next(sockets, "")
                for line in sockets:
                    words = line.split()
                    found[name + words[-4]] = int(words[-1])
        except OSError:  # the kernel may not support IPv6
            continue
    return found


def http_request(
    address: str,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: Any = None,
) -> dict[str, Any]:
    """Send a request on a persistent connection: `wall_ms` from first byte sent to last
    received."""
    content = json.dumps(body).encode() if body is not None else None
    told = {"Content-Type": "application/json", **(headers or {})} if content else headers or {}
    connection = _connections.get(address)
    if connection is None or _closed(connection):
        connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        connection.connect()
        _connections[address] = connection
    began = time.perf_counter()
    try:
        connection.request(method, path, body=content, headers=told)
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        _connections.pop(address).close()
        return {"error": f"{method} {path}: {error!r}"}
    wall_s = time.perf_counter() - began
    return {"wall_ms": wall_s * 1e3, "status": response.status, "text": text.decode()}


def _closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed the idle connection; an idle one is otherwise not readable."""
    sock = connection.sock
    return sock is None or bool(select.select([sock], [], [], 0)[0])


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_OPERATIONS = {"run": run, "watch": watch, "http": http_request}


def main() -> None:
    """Handle requests until the input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_OPERATIONS[asked.pop("do")](**asked)), flush=True)


if __name__ == "__main__":
    main()
