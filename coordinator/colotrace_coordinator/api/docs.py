"""The page at `/docs`: Swagger UI with everything it loads, for hosts without the Internet.

`/` says in a line where that page is.
"""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

_FRONT = "This is a colotrace coordinator. Its API is described at /docs.\n"
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_PART = 65_536


class _Asset(Response):
    """A file that is in memory once, sent in parts: a client that reads slowly holds one part."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it, each part when the one before has gone."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        content = bytes(self.body)
        for at in range(0, len(content), _PART):
            part = content[at : at + _PART]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def docs_router(title: str) -> APIRouter:
    """The page and its assets, which come out of the package that ships them."""
    static = files("fastapi_offline") / "static"
    router = APIRouter(include_in_schema=False)
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        # Else the page would have the description checked by a server on the Internet.
        swagger_ui_parameters={"validatorUrl": None},
    )

    @router.api_route("/", methods=["GET", "HEAD"], name="front")
    async def front() -> PlainTextResponse:
        return PlainTextResponse(_FRONT)

    @router.api_route("/docs", methods=["GET", "HEAD"], name="docs")
    async def show() -> Response:
        return page

    assets = {
        name: _Asset(
            (static / name).read_bytes(),
            media_type=media_type,
            headers={"cache-control": "public, max-age=86400"},
        )
        for name, media_type in _ASSETS.items()
    }

    @router.api_route("/docs/{name}", methods=["GET", "HEAD"], name="docs")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise HTTPException(404)
        return assets[name]

    return router
