"""The command line: output and error messages."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest
from colotrace_coordinator.store.colos import ColoStore, KeptColo
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import locate
from colotrace_proto.messages import ColoName
from eventually import wait_until
from fleet import Broker
from forked import Captured, Forked, Request, shared
from lab.programs import MODULES

MODULE = "colotrace_coordinator.main"
_ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("COLOTRACE_")}


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program, forked from a process that has imported its modules."""
    words = ["colotrace-coordinator", *map(str, arguments)]
    request = Request(module=MODULE, command=words, environment=_ENVIRONMENT | environment)
    with Captured(request, among=MODULES) as forked:
        return subprocess.CompletedProcess(words, *forked.finish())


@contextmanager
def serving(
    data: Path,
    *more: str,
    insecure: bool = True,
    http: str = "127.0.0.1:0",
    open_files: tuple[int, int] | None = None,
) -> Iterator[tuple[Forked | subprocess.Popen[bytes], dict[str, Any], TextIO]]:
    """The program, its line of log that says where it listens, and its log from there on.

    The line's `before` are those before it. With a soft and a hard limit of open files it is not
    forked, but started anew.
    """
    words = [
        *("serve", "--http", http, "--grpc", "127.0.0.1:0", "--data", str(data)),
        *(["--insecure"] if insecure else []),
        *more,
    ]
    out, into = os.pipe()
    with os.fdopen(out, encoding="utf-8") as log:
        process = _started(words, open_files, stderr=into)
        os.close(into)
        try:
            before: list[dict[str, Any]] = []
            for text in log:
                line = json.loads(text)
                if line["event"] == "listening":
                    line["before"] = before
                    break
                before.append(line)
            else:
                pytest.fail("it did not come up")
            yield process, line, log
        finally:
            process.kill()
            process.wait()


def _started(
    words: list[str], open_files: tuple[int, int] | None, *, stderr: int
) -> Forked | subprocess.Popen[bytes]:
    with Path(os.devnull).open("r+b") as null:
        if open_files is None:
            command = ["colotrace-coordinator", *words]
            request = Request(module=MODULE, command=command, environment=_ENVIRONMENT)
            return shared(MODULES).fork(request, stdin=null, stdout=null, stderr=stderr)
        soft, hard = open_files
        command = [
            *("prlimit", f"--nofile={soft}:{hard}", "--"),
            *(sys.executable, "-c", f"from {MODULE} import main; main()"),
        ]
        return subprocess.Popen(
            [*command, *words], stdin=null, stdout=null, stderr=stderr, env=_ENVIRONMENT
        )


def test_token(tmp_path: Path) -> None:
    """Created (only the token is printed), listed without its secret, revoked by its id."""
    created = run("token", "create", "--data", tmp_path, "--account", "a1", "--description", "x y")
    assert created.returncode == 0
    (said,) = created.stderr.splitlines()
    assert str(tmp_path) in said  # a database was created, perhaps in the wrong directory
    assert run("token", "create", "--data", tmp_path, "--account", "a2").stderr == ""
    assert re.fullmatch(r"ctr_[A-Za-z0-9_-]{36}\n", created.stdout)
    listed = run("token", "list", COLOTRACE_DATA=str(tmp_path))
    # Both were created within a second, so either may be first.
    head, *lines = listed.stdout.splitlines()
    (line,) = [each for each in lines if each.split()[1] == "a1"]
    assert head.split()[:3] == ["ID", "ACCOUNT", "PERMISSIONS"]
    assert line.split()[1:3] == ["a1", "diagnostics:traceroute"]
    assert created.stdout.strip() not in listed.stdout
    assert run("token", "revoke", line.split()[0], "--data", tmp_path).returncode == 0
    after = run("token", "list", "--data", tmp_path).stdout.splitlines()
    (revoked,) = [each for each in after if each.split()[0] == line.split()[0]]
    assert revoked.split()[-3] != "-"


def test_colo(tmp_path: Path) -> None:
    """Listed, forgotten by name, then unknown."""

    async def remember() -> None:
        database = await Database.open(locate(data=tmp_path, database=None))
        await ColoStore(database).remember([KeptColo(ColoName("den01"), "Denver, CO, US")])
        await database.close()

    asyncio.run(remember())
    head, line = run("colo", "list", "--data", tmp_path).stdout.splitlines()
    assert head.split()[0] == "COLO"
    assert line.split()[0] == "den01"
    assert run("colo", "forget", "den01", "--data", tmp_path).returncode == 0
    assert run("colo", "list", "--data", tmp_path).stdout.splitlines()[1:] == []
    assert run("colo", "forget", "den01", "--data", tmp_path).returncode == 1


def test_key(tmp_path: Path) -> None:
    arguments = ["key", "create", "--data", tmp_path, "--account", "a1", "--email", "a@b.example"]
    created = run(*arguments)
    assert re.fullmatch(r"[0-9a-f]{37}\n", created.stdout)
    taken = "Q" * 40
    assert run(*arguments, COLOTRACE_KEY=taken).stdout == taken + "\n"
    lines = run("key", "list", "--data", tmp_path).stdout.splitlines()
    assert len(lines) == 3
    assert run("key", "revoke", lines[1].split()[0], "--data", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["token", "list"], 2, "--data DIR"),
        (["token", "create", "--account", "a", "--data", "D", "--permission", "x"], 2, "x"),
        (["token", "create", "--account", "a/b", "--data", "D"], 2, "a/b"),
        (["token", "list", "--data", "D"], 2, "there is no database"),
        (["token", "revoke", "zz", "--data", "D"], 2, "there is no database"),
        (["key", "list", "--data", "D"], 2, "there is no database"),
        (["key", "revoke", "zz", "--data", "D"], 2, "there is no database"),
        (["token", "list", "--data", "/proc/nothing"], 2, "--data DIR"),
        (["token", "list", "--database", "postgresql://u@127.0.0.1:1/x"], 3, "--database"),
        (["token", "list", "--database", "mysql://u@h/x"], 2, "postgresql://"),
        (["serve", "--data", "D", "--name", "a b"], 2, "neither a host name nor an IP address"),
        (["serve", "--database", "postgresql://u@h/x"], 2, "COLOTRACE_CA_SECRET"),
        (["agent", "list", "--data", "D"], 2, "there is no database"),
        (
            ["agent", "enroll", "--data", "D", "--colo", "den", "--city", "Denver"],
            2,
            "letters and a number",
        ),
        (["serve", "--data", "D", "--insecure", "--tls-cert", "c"], 2, "exclude each other"),
        (
            ["serve", "--data", "D", "--tls-cert", "c", "--tls-key", "k", "--agent-ca", "a"],
            2,
            "there is no such file",
        ),
        (["serve", "--data", "D", "--insecure", "--http", "8080"], 2, "HOST:PORT"),
        (["serve", "--data", "D", "--insecure", "--http", "h:99999"], 2, "HOST:PORT"),
        (["serve", "--data", "D", "--insecure", "--grpc", "::1:80"], 2, "brackets"),
        (["serve", "--data", "D", "--insecure", "--http", "192.0.2.1:80"], 3, "cannot listen"),
        (["serve", "--insecure"], 2, "--data DIR"),
        (["serve", "--data", "D", "--insecure", "--asn-db", "none"], 2, "none"),
        (["serve", "--data", "D", "--insecure", "--mqtt", "h:1883"], 2, "give mqtts://"),
        (["serve", "--data", "D", "--mqtt", "mqtt://h"], 2, "would be sent unencrypted"),
        (
            ["serve", "--data", "D", "--insecure", "--mqtt", "mqtt://h", "--grpc", ":0"],
            2,
            "--advertise HOST:PORT",
        ),
        (
            ["serve", "--data", "D", "--insecure", "--mqtt", "mqtt://h", "--advertise", "h"],
            2,
            "--advertise h: give HOST:PORT",
        ),
        (["serve", "--data", "D", "--insecure", "--advertise", "h:1"], 2, "needs --mqtt"),
        (
            ["serve", "--data", "D", "--insecure", "--mqtt", "mqtts://h", "--mqtt-ca", "none"],
            2,
            "none: No such file",
        ),
    ],
)
def test_errors_and_exit_codes(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    """One line with the remedy, and the exit code that the systemd unit uses."""
    done = run(*(str(tmp_path / "d") if word == "D" else word for word in arguments))
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("colotrace-coordinator: ")
    assert words in lines[0]
    if arguments[1] in ("list", "revoke"):
        assert not (tmp_path / "d").exists()


def test_unknown_id(tmp_path: Path) -> None:
    assert run("token", "create", "--data", tmp_path, "--account", "a1").returncode == 0
    for kind in ("token", "key"):
        done = run(kind, "revoke", "zz", "--data", tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{kind} list" in done.stderr


def test_missing_grpc_address_exits_with_3(tmp_path: Path) -> None:
    """The address may appear later, so systemd restarts the program. gRPC prints a line before
    ours, and a machine that stood still a log line after it."""
    grpc = "192.0.2.1:80"
    done = run("serve", "--data", tmp_path, "--insecure", "--http", "127.0.0.1:0", "--grpc", grpc)
    assert done.returncode == 3
    (ours,) = [
        line for line in done.stderr.splitlines() if line.startswith("colotrace-coordinator:")
    ]
    assert grpc in ours


def test_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--data", tmp_path, "--insecure", "--http", where)
    assert done.returncode == 3
    assert f"cannot listen on {where}" in done.stderr


def test_serve(tmp_path: Path) -> None:
    """It logs its address; a token created in the meantime works; SIGTERM stops it."""
    with serving(tmp_path) as (process, line, rest):
        assert not line["grpc"].endswith(":0")
        token = run("token", "create", "--data", tmp_path, "--account", "a1").stdout.strip()
        with httpx.Client(base_url=f"http://{line['http']}") as client:
            for path in ("/healthz", "/readyz", "/metrics", "/docs"):
                assert client.get(path).status_code == 200
            answer = client.post(
                "/client/v4/accounts/a1/diagnostics/traceroute",
                json={"targets": ["192.0.2.1"]},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 200
            assert answer.json()["messages"][0]["code"] == 1100
            metrics = client.get("/metrics").text
        assert 'colotrace_http_requests_total{method="POST",route="traceroute"' in metrics
        assert "process_resident_memory_bytes" in metrics
        process.send_signal(signal.SIGTERM)
        log = rest.read()
        assert process.wait(10) == 0
        assert json.loads(log.splitlines()[-1])["event"] == "stopped"
        assert token not in log


def test_not_ready_without_its_broker(tmp_path: Path, broker: Broker) -> None:
    """A load balancer then uses another coordinator. The broker's host name is only in the log."""
    with serving(tmp_path, "--mqtt", broker.url, "--stop-delay", "0") as (process, line, rest):
        with httpx.Client(base_url=f"http://{line['http']}") as client:

            def becomes(status: int) -> None:
                wait_until(lambda: client.get("/readyz").status_code == status, within_s=10)

            becomes(200)
            broker.kill()
            becomes(503)
            (error,) = client.get("/readyz").json()["errors"]
            assert error["code"] == 1020
            assert error["message"] == "The coordinator does not reach its MQTT broker"
            assert client.get("/healthz").status_code == 200
            broker.start()
            becomes(200)
        broker.freeze()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        log = rest.read()
        assert process.wait(15) == 0
        assert time.monotonic() - began < 8
        assert json.loads(log.splitlines()[-1])["event"] == "stopped"
        assert "Traceback" not in log


def test_requests_are_taken_while_a_load_balancer_learns_of_the_stop(tmp_path: Path) -> None:
    """After SIGTERM, `/readyz` refuses, and requests are still answered for the stop delay."""
    with serving(tmp_path, "--stop-delay", "4") as (process, line, rest):
        with httpx.Client(base_url=f"http://{line['http']}") as client:
            assert client.get("/readyz").status_code == 200
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: client.get("/readyz").status_code == 503, within_s=3.5)
            (error,) = client.get("/readyz").json()["errors"]
            assert error["message"] == "The coordinator is stopping"
            assert client.get("/healthz").status_code == 200
        # On a new connection, too.
        assert httpx.get(f"http://{line['http']}/accounts/x/diagnostics/traceroute/colos").json()
        log = rest.read()
        assert process.wait(10) == 0
        assert time.monotonic() - began >= 4
        assert json.loads(log.splitlines()[-1])["event"] == "stopped"


def test_commands_import_little() -> None:
    """Token commands do not import modules that only the server needs."""
    code = (
        "import sys, colotrace_coordinator.main, colotrace_coordinator.commands.credentials;"
        "unwanted = ('numpy', 'grpc', 'starlette', 'uvloop', 'alembic');"
        "print([m for m in unwanted if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_separate_listener_for_operations(tmp_path: Path) -> None:
    """These routes are then not at the API's address."""
    with serving(tmp_path, "--ops", "127.0.0.1:0") as (_, line, _):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert httpx.get(f"http://{line['ops']}{path}").status_code == 200
            assert httpx.get(f"http://{line['http']}{path}").status_code == 404
        for path in ("/docs", "/accounts/a/diagnostics/traceroute/colos"):
            assert httpx.get(f"http://{line['ops']}{path}").status_code == 404
        assert "/readyz" not in httpx.get(f"http://{line['http']}/openapi.json").json()["paths"]
        numbers = httpx.get(f"http://{line['ops']}/metrics").text
        assert (
            'colotrace_http_requests_total{method="GET",route="ready",status="200"} 1.0' in numbers
        )


@pytest.mark.parametrize(("hard", "warned"), [(512, True), (16_384, False)])
def test_open_files(tmp_path: Path, hard: int, warned: bool) -> None:
    """The soft limit is raised to the hard limit, and a low hard limit is logged with the remedy. A
    request is answered while more connections are open than the original soft limit."""
    with serving(tmp_path, open_files=(128, hard)) as (process, line, _):
        said = [each for each in line["before"] if each["event"] == "open_files_limited"]
        assert bool(said) == warned
        if warned:
            assert said[0]["limit"] == hard
            assert said[0]["connections"] + said[0]["agents"] < hard
            assert "LimitNOFILE" in said[0]["remedy"]
        host, port = line["http"].rsplit(":", 1)
        held = [socket.create_connection((host, int(port))) for _ in range(600)]
        assert httpx.get(f"http://{line['http']}/readyz").status_code == 200
        assert process.poll() is None
        for each in held:
            each.close()


@pytest.mark.parametrize("proxy", ["*", "proxy.example", "192.0.2.1/24"])
def test_invalid_trusted_proxy(tmp_path: Path, proxy: str) -> None:
    told = run("serve", "--data", tmp_path, "--insecure", "--trusted-proxy", proxy)
    assert told.returncode == 2
    assert "--trusted-proxy" in told.stderr


def test_forwarded_address_on_a_socket_of_all_addresses(tmp_path: Path) -> None:
    """An IPv4 proxy is recognised although its address is IPv4-mapped."""
    with serving(tmp_path, "--trusted-proxy", "127.0.0.1", http=":0") as (_, line, _):
        port = line["http"].rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/accounts/a/diagnostics/traceroute/colos"
        bad = {"Authorization": f"Bearer {'x' * 40}"}
        with httpx.Client() as client:
            for _ in range(101):
                got = client.get(url, headers=bad | {"X-Forwarded-For": "203.0.113.8"})
            assert got.status_code == 429
            got = client.get(url, headers=bad | {"X-Forwarded-For": "203.0.113.9"})
            assert got.status_code == 401
