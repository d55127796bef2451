"""Tags of agents: their syntax, and when two are the same."""

import pytest
from colotrace_proto.tags import Tag, tag_of


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("provider=x", Tag("provider", "x")),
        ("Provider=Level-3", Tag("provider", "Level-3")),
        ("a.b_c-1=2001:db8::/32", Tag("a.b_c-1", "2001:db8::/32")),
        ("k" * 32 + "=" + "v" * 64, Tag("k" * 32, "v" * 64)),
    ],
)
def test_tag_is_read(text: str, tag: Tag) -> None:
    assert tag_of(text) == tag
    assert tag.valid


@pytest.mark.parametrize(
    "text",
    [
        *["", "=", "a", "a=", "=x", "a b=x", "a=b c", "a=b\n", "\u00e4=x", "a=\u00e4", "a:b=c"],
        *["a=b=c", "a=b,c", "k" * 33 + "=v", "k=" + "v" * 65],
    ],
)
def test_text_of_another_form_is_no_tag(text: str) -> None:
    assert tag_of(text) is None


def test_value_keeps_its_case_and_is_compared_without_it() -> None:
    one, other = Tag("provider", "X"), Tag("provider", "x")
    assert one != other
    assert one.folded() == other.folded()
