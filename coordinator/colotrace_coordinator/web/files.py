"""Serves the page: `/`, and its files below `/page/{version}/`.

All files are read when the coordinator starts, and each is compressed when it is first asked for.
The version is a digest of all of them, so that a browser keeps them for ever, and an upgrade is
seen at once.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = Path(__file__).with_name("static")

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Other files are not served."""
_INDEX = "index.html"
_PLACE = "{version}"
"""In `index.html`: the version."""

# What the page may load, and where from: its own files, and the API of the same coordinator.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html colotrace",
    )
)
_SAFE = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "vary": "accept-encoding",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    tag: str

    @cached_property
    def packed(self) -> bytes:
        """The content, compressed by gzip."""
        return gzip.compress(self.content, 9, mtime=0)


class Page:
    """The files of the page, as they were when the coordinator started."""

    def __init__(self, static: Path = STATIC) -> None:
        """Raises OSError if a file cannot be read."""
        found = {
            path.relative_to(static).as_posix(): path.read_bytes()
            for path in sorted(static.rglob("*"))
            if path.suffix in _TYPES and path.is_file()
        }
        whole = hashlib.sha256()
        for name, content in found.items():
            whole.update(f"{name} {len(content)}\n".encode() + content)
        self.version = whole.hexdigest()[:16]
        found[_INDEX] = found[_INDEX].replace(_PLACE.encode(), self.version.encode())
        self._files = {name: _file(name, content) for name, content in found.items()}

    @property
    def packed_bytes(self) -> int:
        """The size of all files together, compressed."""
        return sum(len(each.packed) for each in self._files.values())

    def routes(self) -> list[Route]:
        """The routes of the page and of its files."""
        return [
            Route("/", self._front, name="page"),
            Route("/page/{version:str}/{name:path}", self._asset, name="page"),
        ]

    async def _front(self, request: Request) -> Response:
        return _answer(request, self._files[_INDEX], keep=_ASK_AGAIN)

    async def _asset(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        # During an upgrade, coordinators of two versions answer for the same name.
        ours = request.path_params["version"] == self.version
        return _answer(request, file, keep=_FOR_EVER if ours else _ASK_AGAIN)


def _file(name: str, content: bytes) -> _File:
    return _File(
        content=content,
        media_type=_TYPES[Path(name).suffix],
        tag=f'W/"{hashlib.sha256(content).hexdigest()[:16]}"',
    )


def _answer(request: Request, file: _File, *, keep: str) -> Response:
    headers = {**_SAFE, "etag": file.tag, "cache-control": keep}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or file.tag in known:
        return Response(status_code=304, headers=headers)
    packs = _takes_gzip(request.headers.get("accept-encoding", ""))
    if packs:
        headers["content-encoding"] = "gzip"
    return Response(
        file.packed if packs else file.content, headers=headers, media_type=file.media_type
    )


def _takes_gzip(accepted: str) -> bool:
    """Whether the client accepts gzip (RFC 9110 section 12.5.3); a weight of 0 refuses it."""
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        if name.strip() == "gzip":
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
    return False
