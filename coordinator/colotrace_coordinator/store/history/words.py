"""What measurements are found by: numbers of 63 bits in one index, each with the measurement's id.

A measurement has a word for its account, packet type and outcome together, and one for each target
and each colo. A list of all measurements merges the words of the first kind: one for each packet
type and outcome. A colo's word ends with the colo's number, so that the colos of a code are a
range.

Words are hashes, so a reader checks the summary of each measurement found (`matches`). The account
is part of each word, so one account's measurements do not slow down another's lists.
"""

import functools
import hashlib
import re
from itertools import product

from colotrace_proto.measured import Outcome, Summary
from colotrace_proto.messages import ColoName, PacketType

from colotrace_coordinator.model import Filter

_COLO = re.compile(r"([a-z]+)([0-9]{1,4})")
_NUMBER_BITS = 16
_NUMBERS = 10_000
"""Colo numbers of one length: den1 and den01 differ."""


def words_of(summary: Summary, outcome: Outcome) -> list[int]:
    """The words under which a measurement is found, without repetition. `outcome`: the one under
    which it is listed."""
    account = summary.account_id
    words = [kind_word(account, summary.options.packet_type, outcome)]
    words += dict.fromkeys([target_word(account, target) for target in summary.targets])
    words += dict.fromkeys([colo_word(account, colo) for colo in summary.colos])
    return words


@functools.lru_cache(maxsize=4_096)
def kind_word(account: str, packet_type: PacketType, outcome: Outcome) -> int:
    """The word of the account's measurements of this packet type and outcome."""
    return _hash("kind", account, packet_type.value, outcome.value)


@functools.lru_cache(maxsize=16_384)
def target_word(account: str, target: str) -> int:
    """The word of a target as it was asked for."""
    return _hash("target", account, target)


@functools.lru_cache(maxsize=16_384)
def colo_word(account: str, colo: ColoName) -> int:
    """The word of a colo's full name."""
    parts = _COLO.fullmatch(colo)
    if parts is None:
        return _hash("colo", account, colo)
    code, digits = parts.groups()
    return code_words(account, code).start + (len(digits) - 1) * _NUMBERS + int(digits)


def code_words(account: str, code: str) -> range:
    """The words of all colos of a code."""
    first = _hash("code", account, code) >> _NUMBER_BITS << _NUMBER_BITS
    return range(first, first + (1 << _NUMBER_BITS))


def kind_words(account: str, wanted: Filter) -> list[int]:
    """The words of the first kind that a filter allows: each measurement has one of all of them."""
    types = [wanted.packet_type] if wanted.packet_type is not None else list(PacketType)
    outcomes = [wanted.outcome] if wanted.outcome is not None else list(Outcome)
    return [kind_word(account, *each) for each in product(types, outcomes)]


def is_code(colo: str) -> bool:
    """Whether a filter's colo is a code, not a full name."""
    return not colo[-1:].isdigit()


def matches(summary: Summary, wanted: Filter) -> bool:
    """Whether the measurement is one of those that are wanted."""
    began_ms = summary.began_ms
    return (
        (not wanted.target or wanted.target in summary.targets)
        and (not wanted.colo or _has_colo(summary, wanted.colo))
        and (wanted.since_ms is None or began_ms >= wanted.since_ms)
        and (wanted.until_ms is None or began_ms < wanted.until_ms)
        and (wanted.packet_type in (None, summary.options.packet_type))
        and (wanted.outcome in (None, summary.outcome))
    )


def _has_colo(summary: Summary, colo: str) -> bool:
    if not is_code(colo):
        return colo in summary.colos
    return any(name.rstrip("0123456789") == colo for name in summary.colos)


def _hash(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
