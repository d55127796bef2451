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


class Api:
    """The server: what was asked of it, and what it answers next."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                api.asked.append((self.command, self.path, headers, body))
                api.arrived.set()
                assert api.answer is not None
                api.answer(self)

            do_GET = do_POST = _serve  # noqa: N815 - http.server's words

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
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", "content-length": str(len(content))}

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in (sent | (headers or {})).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

        self.answer = answer

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
def _clean_environment(monkeypatch):
    """Neither this machine's proxies nor its settings have a part in the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("URL", "TOKEN", "ACCOUNT", "CA_FILE"):
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
def failure() -> Callable[..., dict[str, object]]:
    """The API's envelope around errors."""

    def make(*errors: dict[str, object]):
        return {"success": False, "errors": list(errors), "messages": [], "result": None}

    return make
