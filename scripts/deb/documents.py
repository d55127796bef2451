"""Debian's copyright file and changelog."""

import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

_LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|edl-v10|epl-v20)", re.IGNORECASE)
_HEADING = re.compile(r"^## \[(?P<version>[^]]+)\](?: - (?P<date>\S+))?$", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")

# Full texts that Debian has once for all packages.
_COMMON = [
    (
        re.compile(
            r"[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS"
            r"(?:\s+APPENDIX: How to apply.*?limitations under the License\.)?",
            re.DOTALL,
        ),
        "Apache-2.0: see /usr/share/common-licenses/Apache-2.0",
    ),
    (
        re.compile(
            r"[ \t]*GNU GENERAL PUBLIC LICENSE\s+Version 3, 29 June 2007"
            r".*?END OF TERMS AND CONDITIONS"
            r"(?:\s+How to Apply These Terms.*?why-not-lgpl\.html>\.)?",
            re.DOTALL,
        ),
        "GPL-3: see /usr/share/common-licenses/GPL-3",
    ),
]

_HEAD = """\
colotrace: traceroutes from many places at once.

Copyright: the colotrace authors
License: Apache-2.0; on Debian systems, the text is in
/usr/share/common-licenses/Apache-2.0.

The directory {place} also has the Python packages below. Each is followed
by the licence that it comes with.
"""


def licences(environment: Path) -> list[Path]:
    """The licence files of the packages in an environment."""
    return sorted(
        path
        for path in environment.glob("*.dist-info/**/*")
        if path.is_file() and ("licenses" in path.parts or _LICENCE.match(path.name))
    )


def copyright_of(environment: Path) -> str:
    """The copyright file: ours, and the licence of each package in the environment."""
    parts = [_HEAD.format(place="/usr/lib/" + environment.name)]
    for metadata in sorted(environment.glob("*.dist-info/METADATA")):
        name, version = metadata.parent.name.removesuffix(".dist-info").split("-")
        if name == "colotrace":
            continue
        parts.append(f"{'-' * 72}\n{name} {version}\n")
        texts = [path for path in licences(environment) if metadata.parent in path.parents]
        seen: set[str] = set()
        for path in texts:
            text = path.read_text(errors="replace").strip("\n")
            words = " ".join(text.split())
            if words in seen:
                continue
            seen.add(words)
            for pattern, pointer in _COMMON:
                text = pattern.sub(pointer, text)
            parts.append(f"{text}\n")
        if not texts:
            parts.append(_stated(metadata.read_text()))
    return "\n".join(parts)


def _stated(metadata: str) -> str:
    lines = re.findall(
        r"^(?:License(?:-Expression)?|Author.*|Classifier: License ::.*):? .*$",
        metadata.partition("\n\n")[0],
        re.MULTILINE,
    )
    return "".join(f"{line}\n" for line in lines)


def changelog(
    text: str,
    *,
    name: str,
    project_version: str,
    version: str,
    suite: str,
    maintainer: str,
    now: int,
) -> str:
    """Debian's changelog, from the project's; the newest entry is that of this build."""
    suffix = version.rpartition("+")[2]
    entries: list[str] = []
    for own, date, changes in _sections(text):
        day = datetime.fromtimestamp(now, UTC)
        if own in ("Unreleased", project_version):
            if entries or not changes:
                continue
            shown = version
        else:
            shown = f"{own}+{suffix}"
        if _DATE.fullmatch(date or ""):
            day = datetime.fromisoformat(date).replace(tzinfo=UTC)
        items = "\n".join(
            textwrap.fill(
                each,
                78,
                initial_indent="  * ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for each in changes
        )
        entries.append(
            f"{name} ({shown}) {suite}; urgency=medium\n\n{items}\n\n"
            f" -- {maintainer}  {format_datetime(day)}\n"
        )
    return "\n".join(entries)


def _sections(text: str) -> Iterator[tuple[str, str | None, list[str]]]:
    """Version, date and changes of each section."""
    found = list(_HEADING.finditer(text))
    ends = [each.start() for each in found[1:]] + [len(text)]
    for heading, end in zip(found, ends, strict=True):
        changes = re.findall(r"^- (.+(?:\n  .+)*)", text[heading.end() : end], re.MULTILINE)
        plain = [_LINK.sub(r"\1", " ".join(each.split())).replace("`", "") for each in changes]
        yield heading["version"], heading["date"], plain
