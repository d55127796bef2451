"""`/docs`: Swagger UI with all its files, for hosts without Internet access.

Swagger UI is taken from the package `fastapi_offline`, which ships a current release of it. Only
its files are read: the package itself, and FastAPI, are not imported.
"""

import html
import json
from collections.abc import AsyncIterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

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


async def _parts(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), _PART):
        yield content[at : at + _PART]


def docs_routes(document: dict[str, Any]) -> list[Route]:
    """The page, its files, and the OpenAPI document itself."""
    static = Path(str(distribution("fastapi-offline").locate_file("fastapi_offline/static")))
    assets = {name: (static / name).read_bytes() for name in _ASSETS}
    page = HTMLResponse(
        _PAGE.format(title=html.escape(document["info"]["title"]), settings=json.dumps(_SETTINGS))
    )
    described = JSONResponse(document)

    async def docs(_: Request) -> Response:
        return page

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in assets:
            raise HTTPException(404)
        content = assets[name]
        headers = {"cache-control": "public, max-age=86400", "content-length": str(len(content))}
        # In parts, so that a slow client holds one part only.
        return StreamingResponse(_parts(content), media_type=_ASSETS[name], headers=headers)

    async def openapi(_: Request) -> Response:
        return described

    return [
        Route("/docs", docs, name="docs"),
        Route("/docs/{name}", asset, name="docs"),
        Route("/openapi.json", openapi, name="openapi"),
    ]
