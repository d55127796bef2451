"""A small process in a namespace that times what it is told to, one line of JSON each way.

Run by `driver.Driver`, with nothing but the standard library. It starts peers and speaks HTTP from
where the path begins: entering a namespace costs milliseconds, which no contender should pay.
"""

import http.client
import json
import resource
import subprocess
import sys
import time
from typing import Any

_TIMEOUT_S = 60
_connections: dict[str, http.client.HTTPConnection] = {}


def run(argv: list[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Start a program and wait for its end: `wall_ms` of both, its `cpu_ms`, what it printed."""
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


def http_request(
    address: str,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: Any = None,
) -> dict[str, Any]:
    """Ask over a connection that is kept: `wall_ms` from the first byte out to the last one in."""
    content = json.dumps(body).encode() if body is not None else None
    told = {"Content-Type": "application/json", **(headers or {})} if content else headers or {}
    connection = _connections.get(address)
    if connection is None:
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


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_OPERATIONS = {"run": run, "http": http_request}


def main() -> None:
    """Do what each line says, until there are no more."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_OPERATIONS[asked.pop("do")](**asked)), flush=True)


if __name__ == "__main__":
    main()
