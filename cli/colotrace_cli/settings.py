"""The coordinator's address and the credentials, validated before a request.

A flag wins over an environment variable, and this over the profile in the configuration file.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from colotrace_proto.text import safe

from .config import Profile
from .errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """`url` is the coordinator's, perhaps with the API's prefix; `account` is as it is in paths;
    `path` is the account's traceroute path below the URL; `ca_file`
    replaces the system's CA certificates; `profile` names the section of the configuration file."""

    url: str
    account: str
    path: str
    token: str
    ca_file: Path | None
    profile: str


def checked(
    *,
    url: str | None,
    token: str | None,
    account: str | None,
    ca_file: Path | None,
    profile: Profile,
) -> Settings:
    """Complete the settings by the profile's, and validate them.

    Raises:
        SettingsError: one is missing or invalid; the text has its name and the remedy.
    """
    values = profile.values
    own_url = values.get("url")
    from_file = not (token or "").strip()
    url = _given(
        url or own_url, "url", "the coordinator's address", "https://traceroute.example.net"
    )
    token = _given(token or values.get("token"), "token", "an API token", "…")
    account = _given(account or values.get("account"), "account", "the account", "…")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise SettingsError("COLOTRACE_TOKEN holds characters that no token has; copy it again")
    base = _base(url)
    if from_file and own_url and base != own_url.strip().rstrip("/"):
        raise SettingsError(
            f"the token of profile {safe(profile.name)} is for {safe(own_url)}, not for "
            f"{safe(base)}; give the one for this address in COLOTRACE_TOKEN"
        )
    if ca_file is None and "ca_file" in values:
        ca_file = Path(values["ca_file"]).expanduser()
    if ca_file is not None:
        try:
            ca_file.open("rb").close()
        except OSError as error:
            raise SettingsError(f"--ca-file {ca_file}: {error.strerror}") from error
    return Settings(
        url=base,
        account=quote(account, safe=""),
        path=f"/accounts/{quote(account, safe='')}/diagnostics/traceroute",
        token=token,
        ca_file=ca_file,
        profile=profile.name,
    )


def is_text(text: str) -> bool:
    """Whether the text is free of surrogates, which stand for bytes that were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _given(value: str | None, name: str, what: str, example: str) -> str:
    text = (value or "").strip()
    if not is_text(text):
        raise SettingsError(f"{what}, {safe(text)}, is not UTF-8; write it again")
    if not text:
        raise SettingsError(
            f"{what} is missing; set it with: export COLOTRACE_{name.upper()}={example} "
            f"(or --{name}, or {name} in a profile of ~/.config/colotrace/config.toml)"
        )
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
