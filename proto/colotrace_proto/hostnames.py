"""Validation of host names, and their conversion to the form used in the DNS.

Internationalized names follow IDNA 2008 (RFC 5890 to 5893) after the mapping of UTS 46, as in curl
and in the C library's `getaddrinfo`: `straße.example` is `xn--strae-oqa.example`. Symbols are not
part of IDNA 2008, but are accepted as in UTS 46 and browsers: `☃.example` is `xn--n3h.example`.

ASCII labels have letters, digits, hyphens (not at the ends), and underscores, which real names use.
Their case is kept.
"""

import re

MAX_NAME = 253
"""Characters of a name in its DNS form, without a trailing dot (RFC 1035 section 2.3.4)."""
MAX_LABEL = 63

# The mapping of UTS 46 can shorten a text, but a longer text than this never becomes a valid name.
_MAX_TEXT = 1_024
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_JOINERS = "\u200c\u200d"
_NO_LABEL_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
# Some resolvers read a name whose last label is a number ("127.1", "0x7f000001") as an address.
# RFC 3696 section 2 and the URL standard forbid such names.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class HostNameError(ValueError):
    """The text is not a host name; the message is a clause with the reason and the remedy."""


class IdnaRuleError(HostNameError):
    """A contextual rule of IDNA 2008 forbids the name, for example a joiner between Latin letters.
    IDNA 2003 would convert it to another name."""


def to_ascii(text: str) -> str:
    """The name in its DNS form; a trailing dot is kept.

    Raises:
        HostNameError: the text is not a host name.
    """
    if not text:
        raise HostNameError("it is empty")
    if len(text) > _MAX_TEXT:
        raise HostNameError(f"a name has at most {MAX_NAME} characters")
    name = text if text.isascii() else _mapped(text)
    labels = name.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise HostNameError(
            "its last part is a number; write an IPv4 address as four decimal numbers"
        )
    labels = [label if label.isascii() else _a_label(label) for label in labels]
    for label in labels:
        _check(label, text)
    ascii_name = ".".join(labels)
    if len(ascii_name) > MAX_NAME:
        raise HostNameError(f"a name has at most {MAX_NAME} characters, in its DNS form")
    return f"{ascii_name}." if name.endswith(".") else ascii_name


def as_ascii(text: str) -> str:
    """A name in its DNS form, so that all programs read it alike; other text unchanged."""
    try:
        return text if text.isascii() else to_ascii(text)
    except HostNameError:
        return text


def is_host_name(text: str) -> bool:
    """Whether the text is a host name."""
    try:
        to_ascii(text)
    except HostNameError:
        return False
    return True


def _mapped(text: str) -> str:
    import idna  # slow to import, and most names are ASCII

    try:
        return idna.uts46_remap(text, std3_rules=False)
    except UnicodeError as error:
        raise HostNameError(f"IDNA does not allow {_culprit(error, text)}") from None


def _a_label(label: str) -> str:
    import idna

    if len(label) > MAX_LABEL:
        raise HostNameError(f"one of its labels has more than {MAX_LABEL} characters")
    try:
        try:
            a_label = idna.alabel(label).decode("ascii")
        except idna.InvalidCodepoint:
            a_label = _with_symbols(label)
    except UnicodeError as error:
        raise IdnaRuleError(f"IDNA does not allow {_culprit(error, label)}") from None
    return a_label


def _with_symbols(label: str) -> str:
    """The A-label by the validity criteria of UTS 46 section 4.1; `uts46_remap` checked characters.

    Raises:
        UnicodeError: a criterion is not met.
        HostNameError: the label has ASCII characters that are not allowed in names.
    """
    import idna

    for character in _NO_LABEL_CHARACTER.findall(label):
        if character.isascii():
            raise HostNameError(f"no host name has {character!r} in it")
    idna.check_nfc(label)
    idna.check_hyphen_ok(label)
    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    for place, character in enumerate(label):
        if character in _JOINERS and not idna.valid_contextj(label, place):
            raise UnicodeError(f"joiner U+{ord(character):04X}")
    return f"xn--{label.encode('punycode').decode('ascii')}"


def _culprit(error: UnicodeError, text: str) -> str:
    """The invalid part: a character as its code point, which is safe to print, or the label."""
    character = getattr(error, "codepoint", None)
    if isinstance(character, int):
        return f"U+{character:04X} there"
    joiner = next((each for each in text if each in _JOINERS), None)
    return (
        f"U+{ord(joiner):04X} there" if joiner else f"one of its labels, of {len(text)} characters"
    )


def _check(label: str, text: str) -> None:
    if not label:
        raise HostNameError("it has an empty label: a dot too many")
    if len(label) > MAX_LABEL:
        raise HostNameError(f"one of its labels has more than {MAX_LABEL} characters")
    if _LABEL.fullmatch(label):
        return
    wrong = _NO_LABEL_CHARACTER.search(label)
    if wrong is None:
        raise HostNameError("one of its labels begins or ends with a hyphen")
    if "://" in text:
        raise HostNameError("it is a URL; give its host alone")
    if text.startswith("[") and text.endswith("]"):
        raise HostNameError("an IPv6 address has no brackets here")
    character = wrong.group()
    shown = f"{character!r}" if character.isprintable() else f"U+{ord(character):04X}"
    raise HostNameError(f"no host name has {shown} in it")
