"""JSON is the API's `result`."""

import json

import pytest

from .samples import CASES, EVIL, evil, plain, written


def test_rows_are_those_of_the_api() -> None:
    (target,) = json.loads(written("json", plain()))
    assert target["target"] == "www.example"
    assert [colo["colo"]["name"] for colo in target["colos"]] == ["den01", "sin01"]
    assert target["colos"][0]["hops"][0]["nodes"][0]["name"] == "gw.den.example"


@pytest.mark.parametrize("case", list(CASES))
def test_one_document_has_every_target(case: str) -> None:
    what = CASES[case]
    assert [each["target"] for each in json.loads(written("json", what))] == [*what.summary.targets]


@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_texts_stay_as_they_are(text: str) -> None:
    (target,) = json.loads(written("json", evil(text)))
    assert target["target"] == target["colos"][0]["colo"]["city"] == text
