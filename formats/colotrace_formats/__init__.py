"""A measurement in the formats of people and of other programs.

`formats.FORMATS` has them by name, `negotiation` chooses one for an HTTP client. Each format is a
module `as_<name>` with one function: render(measured, *, follows) -> Iterator[str]. It yields the
text in pieces that each take a few milliseconds at most, so that an event loop has its turns in
between. `follows` is set if the text follows that of another measurement in the same file.

A format shows what was recorded and nothing else: a field that a format has, and that agents don't
report, is absent. docs/formats.md lists these.
"""
