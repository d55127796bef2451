"""The colos of `--from`, split into the API's `colos`.

Commas and spaces separate names, codes and selectors. The name of a place may have both: `city:`
and `country:` extend up to a comma that no space follows, as in `city:Denver, CO, US,sin`. Double
quotes end the guessing: `city:"Washington, DC",sin`.
"""

import re

_WORD = re.compile(
    r"""(?P<kind>[a-z]+:) "(?P<quoted>[^"]*)"
      | (?P<place>(?:city|country):(?:[^,]|,(?=\s+\S))*)
      | (?P<plain>[^,\s]+)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def split(text: str) -> list[str]:
    """The names, codes and selectors of one `--from`, without empty ones."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        if match["kind"]:
            found.append(match["kind"] + match["quoted"].strip())
        else:
            found.append((match["place"] or match["plain"]).strip())
    return found
