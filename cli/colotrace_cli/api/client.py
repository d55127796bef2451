"""HTTP exchanges with the coordinator, bounded in time and size."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from colotrace_proto.deadlines import CLIENT_S
from colotrace_proto.running import RunningClock
from colotrace_proto.text import safe

from colotrace_cli.errors import DisconnectedError, RequestError, SettingsError
from colotrace_cli.settings import Settings

if TYPE_CHECKING:
    import httpx

Method = Literal["GET", "POST", "PATCH", "DELETE"]
CONNECT_TIMEOUT_S = 10.0
SILENCE_S = 40.0
"""A stream of events is not silent for longer: comments come every 15 s."""
EVENTS = "text/event-stream"
MOST_BYTES = 64 * 2**20
"""More than an answer with 10 targets from 200 colos and 64 hops each."""

_OTHER_NAME = "the coordinator's certificate is for another name: use that name in COLOTRACE_URL"
# By X509_V_ERR_… of OpenSSL (X509_STORE_CTX_get_error(3)).
_VERIFY_REMEDIES: dict[int | None, str] = {
    9: "the coordinator's certificate is not valid yet: check the clocks of both hosts",
    10: (
        "the coordinator's certificate has expired: renew it (--tls-cert), or correct this "
        "host's clock"
    ),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
_OTHER_REMEDY = (
    "name a private CA with --ca-file, and check that the server speaks TLS on this port"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, not yet decoded; `headers` ignores the case of names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str, *, most: int = 255) -> str:
        """The header, safe to show; "" if it is missing."""
        return safe(self.headers.get(name, ""), most=most)


async def exchange(
    settings: Settings,
    method: Method,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = CLIENT_S,
) -> Reply:
    """Send one request and read the whole reply; `path` is appended to the account's traceroute
    path.

    Raises:
        RequestError: no reply came, or it was too late or too large.
        SettingsError: the CA file or the URL is invalid.
    """
    url = settings.url + settings.path + path
    clock = RunningClock()
    try:
        async with (
            _explained(settings, timeout_s, method),
            # If the command was stopped and continued, it reads waiting data before it times out.
            clock.timeout(timeout_s),
            _client(settings) as client,
            client.stream(method, url, content=body, headers=headers) as response,
        ):
            return await _read(response)
    finally:
        clock.close()


@dataclass(frozen=True, slots=True)
class Stream:
    """A reply whose body is read while it comes.

    `chunks` raises DisconnectedError if the connection breaks or is silent.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    @property
    def events(self) -> bool:
        """Whether these are server-sent events."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return self.status == HTTPStatus.OK and kind == EVENTS

    async def whole(self) -> Reply:
        """The reply with the rest of its body.

        Raises:
            RequestError: the body is too large, or did not come.
        """
        return await _whole(self.status, self.headers, self.chunks)


@asynccontextmanager
async def stream(
    settings: Settings,
    method: Literal["GET", "POST"],
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    silence_s: float = SILENCE_S,
) -> AsyncIterator[Stream]:
    """Send one request and read the reply while it comes; give up after `silence_s` without data.

    Raises:
        RequestError: no reply came.
        SettingsError: the CA file or the URL is invalid.
    """
    url = settings.url + settings.path + path
    async with (
        _explained(settings, silence_s, method),
        _client(settings, silence_s=silence_s) as client,
        client.stream(method, url, content=body, headers=headers) as response,
    ):
        yield Stream(response.status_code, response.headers, response.aiter_bytes())


@asynccontextmanager
async def _explained(settings: Settings, timeout_s: float, method: str) -> AsyncIterator[None]:
    """Turn exceptions of the exchange into errors with a remedy."""
    # httpx is slow to import, and --help does not need it.
    import httpx

    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        begun = _may_have_begun(method, error)
        raise DisconnectedError(_too_late(settings, error, timeout_s) + begun) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise RequestError(_no_reply(settings, error)) from error
    except httpx.HTTPError as error:
        begun = _may_have_begun(method, error)
        raise DisconnectedError(_no_reply(settings, error) + begun) from error


async def _read(response: "httpx.Response") -> Reply:
    return await _whole(response.status_code, response.headers, response.aiter_bytes())


async def _whole(status: int, headers: Mapping[str, str], chunks: AsyncIterator[bytes]) -> Reply:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > MOST_BYTES:
            raise RequestError(
                f"the coordinator sent more than {MOST_BYTES >> 20} MiB; "
                "ask for fewer targets or colos at once"
            )
    return Reply(status, headers, bytes(content))


def _client(settings: Settings, *, silence_s: float | None = None) -> "httpx.AsyncClient":
    import httpx

    headers = {
        "authorization": f"Bearer {settings.token}",
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": "colotrace",
    }
    return httpx.AsyncClient(
        headers=headers,
        # `clock.timeout` bounds a whole exchange; connecting has a shorter timeout.
        timeout=httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S),
        verify=_trust(settings),
    )


def _trust(settings: Settings) -> ssl.SSLContext:
    if not settings.url.startswith("https:"):
        # Not used. Unlike httpx's default, it loads no CA certificates, which takes time.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"--ca-file {settings.ca_file}: not a file of PEM certificates ({safe(str(error))})"
        ) from error


def _may_have_begun(method: str, error: Exception) -> str:
    """What to look for if a request to measure may have arrived."""
    import httpx

    if method != "POST" or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ""
    return "; if the measurement has begun, it is in: colotrace list"


def _too_late(settings: Settings, error: Exception, timeout_s: float) -> str:
    import httpx

    if isinstance(error, httpx.ConnectTimeout):
        return (
            f"{settings.url}: no connection within {CONNECT_TIMEOUT_S:g} s; "
            "check the address in COLOTRACE_URL and the firewalls on the way"
        )
    return (
        f"{settings.url} did not finish its answer within {timeout_s:g} s; "
        "check that the coordinator is well (GET /readyz) and ask for fewer colos at once"
    )


def _no_reply(settings: Settings, error: Exception) -> str:
    import httpx

    told = safe(str(error)) or type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            remedy = _VERIFY_REMEDIES.get(getattr(cause, "verify_code", None), _OTHER_REMEDY)
            return f"{settings.url}: no TLS connection ({told}); {remedy}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return (
            f"{settings.url}: no connection ({told}); "
            "check the address in COLOTRACE_URL and that the coordinator runs"
        )
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError):
        return f"{settings.url}: cannot be used ({told}); check COLOTRACE_URL"
    return (
        f"{settings.url}: the connection broke ({told}); "
        "check that COLOTRACE_URL is a coordinator's (https:// if it uses TLS), and try again"
    )
