"""`/docs`: Swagger UI with all its files, for hosts without Internet access. `/` points there.

Swagger UI is taken from the package `fastapi_offline`, which ships a current release of it. Only
its files are read: the package itself, and FastAPI, are not imported.
"""

import html
import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_FRONT = "This is a colotrace coordinator. Its API is described at /docs.\n"
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_PART = 65_536
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({settings})</script>
</body>
</html>
"""
_SETTINGS = {
    "url": "openapi.json",
    "dom_id": "#swagger-ui",
    "deepLinking": True,
    # Otherwise the page would send the document to a validator on the Internet.
    "validatorUrl": None,
}


class _Asset(Response):
    """A file in memory, sent in parts, so that a slow client holds one part only."""

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


def docs_routes(document: dict[str, Any]) -> list[Route]:
    """The front, the page, its files, and the OpenAPI document itself."""
    static = Path(str(distribution("fastapi-offline").locate_file("fastapi_offline/static")))
    assets = {
        name: _Asset(
            (static / name).read_bytes(),
            media_type=media_type,
            headers={"cache-control": "public, max-age=86400"},
        )
        for name, media_type in _ASSETS.items()
    }
    page = HTMLResponse(
        _PAGE.format(title=html.escape(document["info"]["title"]), settings=json.dumps(_SETTINGS))
    )
    described = JSONResponse(document)

    async def front(_: Request) -> Response:
        return PlainTextResponse(_FRONT)

    async def docs(_: Request) -> Response:
        return page

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in assets:
            raise HTTPException(404)
        return assets[name]

    async def openapi(_: Request) -> Response:
        return described

    return [
        Route("/", front, name="front"),
        Route("/docs", docs, name="docs"),
        Route("/docs/{name}", asset, name="docs"),
        Route("/openapi.json", openapi, name="openapi"),
    ]
