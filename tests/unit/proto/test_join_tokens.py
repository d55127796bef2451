"""Join tokens: what is pasted is what was printed, or is refused."""

import pytest
from colotrace_proto.join_tokens import MAX_TOKEN, JoinToken, JoinTokenError, parse_join_token
from colotrace_proto.messages import ColoName
from hypothesis import given
from hypothesis import strategies as st

TOKEN = JoinToken(
    address="trace.example.net:8082", colo=ColoName("den01"), authority=b"a" * 32, secret=b"s" * 16
)


@pytest.mark.parametrize("address", ["192.0.2.1:8082", "[2001:db8::1]:443", "a.example:65535"])
def test_token_is_read_as_it_was_written(address: str) -> None:
    token = JoinToken(address=address, colo=TOKEN.colo, authority=b"\xff" * 32, secret=bytes(16))
    text = token.encode()
    assert text.isascii()
    assert len(text) <= MAX_TOKEN
    assert parse_join_token(f"  {text}\n") == token


def test_secret_is_not_in_its_repr() -> None:
    assert "ssss" not in repr(TOKEN)


@given(st.integers(4, len(TOKEN.encode()) - 1), st.characters(codec="ascii"))
def test_changed_token_is_refused(place: int, letter: str) -> None:
    text = TOKEN.encode()
    changed = text[:place] + letter + text[place + 1 :]
    if changed.strip() != text:
        with pytest.raises(JoinTokenError, match="copy it again"):
            parse_join_token(changed)


@given(st.integers(4, len(TOKEN.encode()) - 1))
def test_cut_token_is_refused(length: int) -> None:
    with pytest.raises(JoinTokenError, match="not copied whole"):
        parse_join_token(TOKEN.encode()[:length])


@pytest.mark.parametrize("text", ["", "ctr_abc", "den01", "ctj_" + "A" * MAX_TOKEN])
def test_other_text_is_no_token(text: str) -> None:
    with pytest.raises(JoinTokenError, match="no join token"):
        parse_join_token(text)


@pytest.mark.parametrize("names", ["den01", "DEN01 a.example:1", "den01 a.example", "den01 é:1"])
def test_token_of_another_form_is_of_another_version(names: str) -> None:
    other = JoinToken(address="a:1", colo=ColoName("x"), authority=b"a" * 32, secret=b"s" * 16)
    colo, _, address = names.partition(" ")
    text = JoinToken(
        address=address.encode("ascii", "replace").decode(),
        colo=ColoName(colo),
        authority=other.authority,
        secret=other.secret,
    ).encode()
    with pytest.raises(JoinTokenError, match="another version"):
        parse_join_token(text)


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    for each in (text, "ctj_" + text):
        with pytest.raises(JoinTokenError):
            parse_join_token(each)
