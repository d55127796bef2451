"""The coordinator's address and the credentials, validated before a request."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from colotrace_proto.text import safe

from .errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """`url` is the coordinator's; `path` is the account's traceroute path below it; `ca_file`
    replaces the system's CA certificates."""

    url: str
    path: str
    token: str
    ca_file: Path | None


def checked(
    *, url: str | None, token: str | None, account: str | None, ca_file: Path | None
) -> Settings:
    """Validate the settings.

    Raises:
        SettingsError: one is missing or invalid; the text has its name and the remedy.
    """
    url = _given(url, "the coordinator's address", "COLOTRACE_URL=https://traceroute.example.net")
    token = _given(token, "an API token", "COLOTRACE_TOKEN=…")
    account = _given(account, "the account", "COLOTRACE_ACCOUNT=…")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise SettingsError("COLOTRACE_TOKEN holds characters that no token has; copy it again")
    if ca_file is not None:
        try:
            ca_file.open("rb").close()
        except OSError as error:
            raise SettingsError(f"--ca-file {ca_file}: {error.strerror}") from error
    return Settings(
        url=_base(url),
        path=f"/accounts/{quote(account, safe='')}/diagnostics/traceroute",
        token=token,
        ca_file=ca_file,
    )


def is_text(text: str) -> bool:
    """Whether the text is free of surrogates, which stand for bytes that were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _given(value: str | None, what: str, example: str) -> str:
    text = (value or "").strip()
    if not is_text(text):
        raise SettingsError(f"{what}, {safe(text)}, is not UTF-8; write it again")
    if not text:
        flag = "--" + example.partition("=")[0].removeprefix("COLOTRACE_").lower()
        raise SettingsError(f"{what} is missing; set it with: export {example} (or {flag})")
    return text


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises if it is invalid
    except ValueError:
        usable = False
    if not usable or not url.isprintable():
        raise SettingsError(
            "COLOTRACE_URL is not an address like https://traceroute.example.net or "
            "http://127.0.0.1:8080"
        )
    if parts.username is not None:
        raise SettingsError("COLOTRACE_URL holds a user name; put the token in COLOTRACE_TOKEN")
    if parts.query or parts.fragment:
        raise SettingsError("COLOTRACE_URL holds a query or a fragment; leave out ? and #")
    return url.rstrip("/")
