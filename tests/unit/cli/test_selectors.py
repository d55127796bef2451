"""`--from` as names, codes and selectors."""

import pytest
from colotrace_cli.selectors import split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("den,sin", ["den", "sin"]),
        (" den, ,sin, ", ["den", "sin"]),
        ("den sin", ["den", "sin"]),
        (",", []),
        ("country:DE,limit:5", ["country:DE", "limit:5"]),
        ("tag:provider=x limit:5", ["tag:provider=x", "limit:5"]),
        ("city:Denver,sin", ["city:Denver", "sin"]),
        ("city:Denver, CO, US,sin", ["city:Denver, CO, US", "sin"]),
        ("sin,city:New York", ["sin", "city:New York"]),
        ('city:"Washington, DC",sin', ["city:Washington, DC", "sin"]),
        ('city:"Denver", sin', ["city:Denver", "sin"]),
        ("city:Denver, ", ["city:Denver"]),
        ("@-1,limit:3", ["@-1", "limit:3"]),
        ('city:"open', ['city:"open']),
    ],
)
def test_split(text, words):
    assert split(text) == words
