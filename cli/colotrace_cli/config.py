"""The configuration file: named profiles, each with a coordinator and an account.

default_profile = "work"

[profiles.work]
url = "https://coordinator.example.net:8080"
account = "demo"
token_file = "~/.config/colotrace/token"
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from colotrace_proto.text import safe

from .errors import SettingsError

DEFAULT = "default"
"""The profile that is used if none is named."""
_KEYS = ("url", "account", "token", "token_file", "ca_file")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile's settings by key; `warnings` are for the user."""

    name: str
    source: str
    values: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def config_path() -> Path | None:
    """Where the configuration file is; None without a home directory."""
    return xdg("XDG_CONFIG_HOME", ".config", "config.toml")


def xdg(variable: str, below_home: str, name: str) -> Path | None:
    """A file of this program in a base directory of the XDG specification, which ignores relative
    paths; None without a home directory."""
    base = os.environ.get(variable, "")
    if os.path.isabs(base):  # noqa: PTH117 - a Path of an empty text is the working directory
        return Path(base) / "colotrace" / name
    try:
        return Path.home() / below_home / "colotrace" / name
    except RuntimeError:
        return None


def profile(wanted: str | None) -> Profile:
    """The profile of this name, or the file's default.

    Without a file, or without a default in it, the profile is empty.

    Raises:
        SettingsError: the file cannot be read, or has no such profile.
    """
    path = config_path()
    source = str(path) if path else "~/.config/colotrace/config.toml"
    content = _read(path) if path else None
    if content is None:
        if wanted:
            raise SettingsError(
                f"there is no profile {safe(wanted)}: {safe(source)} does not exist; "
                f"write a section [profiles.{safe(wanted)}] into it"
            )
        return Profile(DEFAULT, source)
    return _chosen(content, wanted, source)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{safe(str(path))}: {error.strerror}") from error


def _chosen(content: bytes, wanted: str | None, source: str) -> Profile:
    import tomllib  # only with a file

    try:
        found = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{safe(source)}: {safe(str(error))}") from error
    _known(found, ("default_profile", "profiles"), source)
    profiles = found.get("profiles", {})
    name = wanted or found.get("default_profile") or (DEFAULT if DEFAULT in profiles else None)
    if not isinstance(profiles, dict) or not isinstance(name, str | None):
        raise SettingsError(f"{safe(source)}: profiles are sections: [profiles.work]")
    if name is None:
        return Profile(DEFAULT, source)
    values = profiles.get(name)
    if not isinstance(values, dict):
        raise SettingsError(
            f"{safe(source)} has no profile {safe(name)}{_like(name, list(profiles))}"
        )
    _known(values, _KEYS, f"{source}, profile {name}")
    for key, value in values.items():
        if not isinstance(value, str):
            raise SettingsError(f"{safe(source)}, profile {safe(name)}: {key} is not a text")
    return _with_token(Profile(name, source, values))


def _with_token(found: Profile) -> Profile:
    """The profile, with the token of its file."""
    values = dict(found.values)
    where = f"{safe(found.source)}, profile {safe(found.name)}"
    file = values.pop("token_file", None)
    if file is None:
        warnings = _readable(Path(found.source)) if "token" in values else ()
        return Profile(found.name, found.source, values, warnings)
    if "token" in values:
        raise SettingsError(f"{where}: has token and token_file; remove one of them")
    path = Path(file).expanduser()
    try:
        with path.open("rb") as opened:
            content = opened.read(_MOST_BYTES)
    except OSError as error:
        raise SettingsError(f"{where}: token_file {safe(str(path))}: {error.strerror}") from error
    values["token"] = content.decode(errors="replace").strip()
    return Profile(found.name, found.source, values, _readable(path))


def _readable(path: Path) -> tuple[str, ...]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return ()
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        where = safe(str(path))
        return (f"{where} has a token and other users may read it; run: chmod 600 {where}",)
    return ()


def _known(values: Mapping[str, object], keys: tuple[str, ...], where: str) -> None:
    for key in values:
        if key not in keys:
            raise SettingsError(
                f"{safe(where)}: unknown key {safe(key)}{_like(key, keys)}; "
                f"the keys are {', '.join(keys)}"
            )


def _like(word: str, known: "tuple[str, ...] | list[str]") -> str:
    from difflib import get_close_matches  # only for an error

    found = get_close_matches(word, known, n=1)
    return f" (did you mean {safe(found[0])}?)" if found else ""
