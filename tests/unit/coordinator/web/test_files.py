"""The files of the page: complete, unchanged where they are others', and safely served."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from colotrace_coordinator.web.files import STATIC, Page
from starlette.applications import Starlette

VENDOR = STATIC / "vendor"
LISTED = tomllib.loads((VENDOR / "vendored.toml").read_text())
INDEX = (STATIC / "index.html").read_text()
IMPORT = re.compile(r"""(?:from|^import)\s*["'](\.[^"']+)["']""", re.MULTILINE)


@pytest.fixture(name="page", scope="module")
def _page() -> Page:
    return Page()


@pytest.fixture(name="client")
def _client(page: Page) -> httpx.AsyncClient:
    app = Starlette(routes=page.routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://coordinator")


async def test_front_names_files_that_exist(client: httpx.AsyncClient, page: Page) -> None:
    front = await client.get("/")
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', front.text)
    assert named
    for path in named:
        assert path.startswith(f"page/{page.version}/")
        assert (await client.get("/" + path)).status_code == 200, path


async def test_content_policy_allows_own_files_only(client: httpx.AsyncClient, page: Page) -> None:
    for path in ("/", f"/page/{page.version}/app.js"):
        policy = (await client.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


async def test_file_of_this_version_is_kept_for_ever(client: httpx.AsyncClient, page: Page) -> None:
    ours = await client.get(f"/page/{page.version}/app.js")
    assert "immutable" in ours.headers["cache-control"]
    other = await client.get("/page/0123456789abcdef/app.js")
    assert other.content == ours.content
    assert other.headers["cache-control"] == "no-cache"


async def test_unchanged_file_is_not_sent_again(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/")).headers["etag"]
    again = await client.get("/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


async def test_any_copy_is_an_unchanged_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/", headers={"If-None-Match": "*"})).status_code == 304
    other = await client.get("/", headers={"If-None-Match": 'W/"0123456789abcdef"'})
    assert other.status_code == 200


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.1", "deflate,gzip ; q=1"])
async def test_compressed_for_who_takes_it(
    client: httpx.AsyncClient, page: Page, accepted: str
) -> None:
    path = f"/page/{page.version}/app.js"
    packed = await client.get(path, headers={"Accept-Encoding": accepted})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == (STATIC / "app.js").read_bytes()


@pytest.mark.parametrize(
    "accepted", ["", "identity", "gzip;q=0", "br, gzip; q=0.000", "x-gzip-like"]
)
async def test_plain_for_who_does_not(client: httpx.AsyncClient, page: Page, accepted: str) -> None:
    path = f"/page/{page.version}/app.js"
    plain = await client.get(path, headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in plain.headers
    assert plain.content == (STATIC / "app.js").read_bytes()


@pytest.mark.parametrize(
    "name", ["missing.js", "vendor/vendored.toml", "..%2ffiles.py", "%2e%2e/files.py"]
)
async def test_other_files_are_not_served(client: httpx.AsyncClient, page: Page, name: str) -> None:
    assert (await client.get(f"/page/{page.version}/{name}")).status_code == 404


def test_a_changed_file_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{version}")
    (tmp_path / "a.js").write_text("1")
    before = Page(tmp_path).version
    (tmp_path / "a.js").write_text("2")
    assert Page(tmp_path).version != before


@pytest.mark.parametrize("folder", LISTED)
def test_vendored_files_are_those_of_their_packages(folder: str) -> None:
    told = LISTED[folder]
    found = {
        path.relative_to(VENDOR / folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (VENDOR / folder).rglob("*")
        if path.is_file()
    }
    assert found == {name: file["sha256"] for name, file in told["files"].items()}
    assert told["integrity"].startswith("sha512-")
    assert "LICENSE" in found


def test_every_vendored_folder_is_listed() -> None:
    assert {each.name for each in VENDOR.iterdir() if each.is_dir()} == set(LISTED)


def modules() -> Iterator[Path]:
    yield from STATIC.rglob("*.js")


def test_imports_name_files_that_exist() -> None:
    for module in modules():
        for name in IMPORT.findall(module.read_text()):
            assert (module.parent / name).is_file(), (module, name)


def test_first_modules_are_loaded_at_once() -> None:
    """What `app.js` imports, directly or not, is named in the front: none waits for another."""
    needed, todo = set[Path](), [STATIC / "app.js"]
    while todo:
        module = todo.pop()
        for name in IMPORT.findall(module.read_text()):
            path = (module.parent / name).resolve()
            if path not in needed:
                needed.add(path)
                todo.append(path)
    named = re.findall(r'modulepreload" href="page/\{version\}/([^"]+)"', INDEX)
    assert needed <= {STATIC / name for name in named}


def test_templates_have_no_inline_style_or_script() -> None:
    """The content policy forbids them: they would do nothing."""
    for module in modules():
        if VENDOR not in module.parents:
            assert not re.search(r"\sstyle=|<script|\son[a-z]+=", module.read_text()), module
