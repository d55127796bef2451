"""The paths of routes, with and without the public API's prefix."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BASES = ("/client/v4", "", "/client/v4/", "/")
"""Clients differ in whether their base URL has the prefix; old ones put one more slash after it."""
_TRACEROUTE = "/accounts/{account_id:account}/diagnostics/traceroute"

Endpoint = Callable[[Request], Awaitable[Response]]


def account_routes(table: Mapping[str, tuple[str, Mapping[str, Endpoint]]]) -> list[Route]:
    """The routes of an account's traceroutes. By their names, which metrics show: the path below
    the account's, and its methods. The id of a measurement is `{id:measurement}`."""
    register_url_convertor("account", _AccountId())
    register_url_convertor("measurement", _MeasurementId())
    return api_routes(
        {name: (_TRACEROUTE + path, methods) for name, (path, methods) in table.items()}
    )


def api_routes(table: Mapping[str, tuple[str, Mapping[str, Endpoint]]]) -> list[Route]:
    """Routes of the API. By their names, which metrics show: the path below the base URL, and its
    methods."""
    return [
        Route(
            base + path + slash,
            _by_method(methods),
            methods=list(methods),
            name=name,
        )
        for base in BASES
        for name, (path, methods) in table.items()
        for slash in ("", "/")
    ]


def _by_method(methods: Mapping[str, Endpoint]) -> Endpoint:
    """One endpoint for all methods of a path, so that a 405 names all of them."""
    if len(methods) == 1:
        return next(iter(methods.values()))

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return endpoint


class _AccountId(Convertor[str]):
    """An account's id in a path; a longer one matches no route."""

    regex = "[^/]{1,32}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _MeasurementId(_AccountId):
    regex = "[0-9a-f]{32}"
