"""What measurements are found by."""

import pytest
from colotrace_coordinator.model import Filter
from colotrace_coordinator.store.history.words import (
    code_words,
    colo_word,
    kind_words,
    matches,
    target_word,
    words_of,
)
from colotrace_proto.measured import Options, Outcome
from colotrace_proto.messages import ColoName, PacketType
from recorded import BEGAN_MS, complete, summary

TOLD = complete(
    summary(
        targets=["192.0.2.1", "192.0.2.1", "www.example.com"],
        colos=["den01", "den1", "sin02"],
        options=Options(packet_type=PacketType.UDP),
    ),
    failed=1,
)


def test_words_are_few() -> None:
    """One for the kind, and one for each target and colo, however often it is named."""
    words = words_of(TOLD, TOLD.outcome)
    assert len(words) == len(set(words)) == 1 + 2 + 3
    assert all(0 <= word < 1 << 63 for word in words)


def test_colos_of_a_code_are_in_its_range() -> None:
    names = ["den1", "den01", "den0001", "den9999"]
    words = {colo_word("a1", ColoName(name)) for name in names}
    assert len(words) == len(names)
    assert all(word in code_words("a1", "den") for word in words)
    assert colo_word("a1", ColoName("sin01")) not in code_words("a1", "den")
    assert colo_word("a2", ColoName("den01")) not in code_words("a1", "den")


def test_accounts_have_words_of_their_own() -> None:
    assert target_word("a1", "192.0.2.1") != target_word("a2", "192.0.2.1")


def test_kind_of_a_measurement_is_among_those_of_each_filter_that_it_matches() -> None:
    kind = words_of(TOLD, TOLD.outcome)[0]
    for wanted in (
        Filter(),
        Filter(packet_type=PacketType.UDP),
        Filter(outcome=Outcome.ERRORS),
        Filter(packet_type=PacketType.UDP, outcome=Outcome.ERRORS),
    ):
        assert kind in kind_words("a1", wanted)
    assert kind not in kind_words("a1", Filter(packet_type=PacketType.ICMP))
    assert kind not in kind_words("a1", Filter(outcome=Outcome.UNREACHED))


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(target="www.example.com"),
        Filter(colo="sin02"),
        Filter(colo="sin"),
        Filter(since_ms=BEGAN_MS, until_ms=BEGAN_MS + 1),
        Filter(packet_type=PacketType.UDP),
        Filter(outcome=Outcome.ERRORS),
    ],
)
def test_wanted_measurement_matches(wanted: Filter) -> None:
    assert matches(TOLD, wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(target="www.example.co"),
        Filter(colo="sin01"),
        Filter(colo="si"),
        Filter(since_ms=BEGAN_MS + 1),
        Filter(until_ms=BEGAN_MS),
        Filter(packet_type=PacketType.ICMP),
        Filter(outcome=Outcome.COMPLETE),
    ],
)
def test_other_measurement_does_not_match(wanted: Filter) -> None:
    assert not matches(TOLD, wanted)
