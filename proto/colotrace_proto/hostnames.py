"""Host names: what is one, and the form in which the DNS knows it.

Names in other scripts follow IDNA 2008 (RFC 5890 to 5893) after the mapping of UTS 46, as in curl
and in the C library's `getaddrinfo`: `straße.example` is `xn--strae-oqa.example`. Symbols, which
IDNA 2008 leaves out, are taken as UTS 46 and browsers do: `☃.example` is `xn--n3h.example`.

ASCII labels are letters, digits, hyphens inside, and underscores, which real names have. They go
to the DNS as written, in the case that they have.
"""

import re

MAX_NAME = 253
"""Characters of a name in its DNS form, without a trailing dot (RFC 1035 section 2.3.4)."""
MAX_LABEL = 63

# UTS 46 drops some characters and composes others; a longer text is no name in any case.
_MAX_TEXT = 1_024
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_NAME_CHARACTERS = re.compile(r"[A-Za-z0-9_-]")
_JOINERS = "\u200c\u200d"
_NO_LABEL_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
# A name whose last label is a number is an address to some resolvers ("127.1", "0x7f000001") and
# a name to others: RFC 3696 section 2 and the URL standard forbid it.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class HostNameError(ValueError):
    """The text is no host name; the message is a clause that says why, and what to write."""


class IdnaRuleError(HostNameError):
    """Its characters are those of names, but not in that place: a joiner between Latin letters,
    for one. Older rules would make another name of it."""


def to_ascii(text: str) -> str:
    """The name in its DNS form, with a trailing dot where the text has one.

    Raises:
        HostNameError: it is no host name.
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


def is_host_name(text: str) -> bool:
    """Whether the text is a host name."""
    try:
        to_ascii(text)
    except HostNameError:
        return False
    return True


def _mapped(text: str) -> str:
    import idna  # its tables take a while to load, and most names are ASCII

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
    """The same by the validity criteria of UTS 46 section 4.1 alone; its characters are valid.

    Raises:
        UnicodeError: one of the criteria is not met.
        HostNameError: it has ASCII characters that names have not.
    """
    import idna

    wrong = re.search(r"[\x00-\x7f]", _NAME_CHARACTERS.sub("", label))
    if wrong is not None:
        raise HostNameError(f"no host name has {wrong.group()!r} in it")
    idna.check_nfc(label)
    idna.check_hyphen_ok(label)
    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    for place, character in enumerate(label):
        if character in _JOINERS and not idna.valid_contextj(label, place):
            raise UnicodeError(f"joiner U+{ord(character):04X}")
    return f"xn--{label.encode('punycode').decode('ascii')}"


def _culprit(error: UnicodeError, text: str) -> str:
    """What is wrong, by a character's number, which is safe to show; else of the label."""
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
