"""A little HTTP server on loopback that answers what a test tells it to."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from colotrace_cli.main import app
from typer.testing import CliRunner, Result

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
TOKEN = "a-token"
MEASUREMENT = "0198c0de" * 4


class Api:
    """The server: what was asked of it, and what it answers next."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.routes: dict[tuple[str, str], list[Callable[[BaseHTTPRequestHandler], None]]] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                api.asked.append((self.command, self.path, headers, body))
                api.arrived.set()
                route = (self.command, self.path.partition("/traceroute")[2])
                given = api.routes.get(route)
                answer = given.pop(0) if given else api.answer
                assert answer is not None, route
                answer(self)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - of http.server

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, *args: object) -> None:
                """A client that goes away is part of some tests."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_port}"

    def answers(self, body: object, *, status: int = 200, headers: dict[str, str] | None = None):
        """From now on every request gets this; what is not bytes is written as JSON."""
        self.answer = self.replying(body, status=status, headers=headers)

    def on(self, method: str, path: str, *answers: Callable[[BaseHTTPRequestHandler], None]):
        """The next requests of this path below the account's get these answers, in order."""
        self.routes.setdefault((method, path), []).extend(answers)

    def replying(self, body: object, *, status: int = 200, headers: dict[str, str] | None = None):
        """An answer for `on`."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", "content-length": str(len(content))}

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in (sent | (headers or {})).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

        return answer

    def streaming(self, *events: tuple[str, object], first: int = 1, ends: bool = True):
        """An answer for `on`: server-sent events with ids from `first`. A stream that does not
        end stays open until the test is over."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("content-type", "text/event-stream; charset=utf-8")
            handler.send_header("connection", "close")
            handler.send_header("measurement-id", MEASUREMENT)
            handler.end_headers()
            handler.wfile.write(b": a comment\n\n")
            for number, (kind, data) in enumerate(events, first):
                lines = f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
                handler.wfile.write(lines.encode())
            handler.wfile.flush()
            handler.close_connection = True
            if not ends:
                self.released.wait(30)

        return answer

    def never_answers(self) -> None:
        """From now on a request waits until the test is over."""
        self.answer = lambda _: self.released.wait(30)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def api():
    server = Api()
    server.thread.start()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """Neither this machine's proxies nor its settings have a part in the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("URL", "TOKEN", "ACCOUNT", "CA_FILE", "PROFILE"):
        monkeypatch.delenv(f"COLOTRACE_{name}", raising=False)


@pytest.fixture
def environment(api):
    """The variables that point the command at the little server."""
    return {
        "COLOTRACE_URL": api.url,
        "COLOTRACE_TOKEN": TOKEN,
        "COLOTRACE_ACCOUNT": ACCOUNT,
    }


@pytest.fixture
def run(environment) -> Callable[..., Result]:
    """Runs the command in this process, with the settings in its environment."""

    def run(*arguments: str, env: dict[str, str | None] | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), env=environment | (env or {}))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def _times(kind: str) -> dict[str, float]:
    return {f"{stat}_{kind}_ms": 1.0 for stat in ("min", "mean", "max", "std_dev")}


@pytest.fixture
def colo_row() -> Callable[..., dict[str, object]]:
    """A colo's row as the API sends it."""

    def make(name: str = "den01", *, error: str = "", node: str = "core.example"):
        answered = {"asn": "AS64500", "ip": "192.0.2.1", "name": node, "packet_count": 3}
        return {
            "colo": {"city": "Denver, CO, US", "name": name},
            "error": error,
            "hops": [
                {
                    "packets_ttl": 1,
                    "packets_sent": 3,
                    "packets_lost": 0,
                    "nodes": [answered | _times("rtt")],
                }
            ],
            "target_summary": {
                "asn": "AS64500",
                "ip": "192.0.2.1",
                "name": "core.example",
                "packet_count": 3,
            }
            | _times("latency")
            | _times("rtt"),
            "traceroute_time_ms": 12,
        }

    return make


@pytest.fixture
def envelope() -> Callable[..., dict[str, object]]:
    """The API's envelope around a result."""

    def make(result: object, *, messages: list[object] | None = None):
        return {"success": True, "errors": [], "messages": messages or [], "result": result}

    return make


@pytest.fixture
def summary() -> Callable[..., dict[str, object]]:
    """A measurement without its rows, as the API sends it."""

    def make(status: str = "complete", *, colos: list[str] | None = None, **more: object):
        names = ["den01"] if colos is None else colos
        return {
            "id": MEASUREMENT,
            "status": status,
            "outcome": "complete",
            "began_at": "2026-11-28T20:15:02.123Z",
            "ended_at": None if status == "running" else "2026-11-28T20:15:03.323Z",
            "took_ms": None if status == "running" else 1_200,
            "asked_by": "x",
            "targets": ["192.0.2.1"],
            "colos": names,
            "options": {"packet_type": "icmp"},
            "rows": {"asked": len(names), "finished": len(names), "failed": 0, "unreached": 0},
        } | more

    return make


@pytest.fixture
def failure() -> Callable[..., dict[str, object]]:
    """The API's envelope around errors."""

    def make(*errors: dict[str, object]):
        return {"success": False, "errors": list(errors), "messages": [], "result": None}

    return make
