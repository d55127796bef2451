"""The logic of the page's modules, in the browser that runs them.

Each `unit/test_*.js` exports functions whose names begin with `test_`; one that throws has failed.
"""

import re
from pathlib import Path

import pytest
from browser.conftest import ORIGIN
from playwright.sync_api import Page

UNIT = Path(__file__).parent / "unit"
CASES = [
    (path.name, name)
    for path in sorted(UNIT.glob("test_*.js"))
    for name in re.findall(
        r"^export (?:async )?function (test_\w+)", path.read_text(), re.MULTILINE
    )
]
RUN = """async ([module, name]) => {
  try {
    await (await import(module))[name]();
    return null;
  } catch (error) {
    return `${error.message}\\n${error.stack}`;
  }
}"""


@pytest.mark.parametrize(("module", "name"), CASES, ids=[f"{m}:{n}" for m, n in CASES])
def test_module(module_tab: Page, module: str, name: str) -> None:
    assert module_tab.evaluate(RUN, [f"{ORIGIN}/unit/{module}", name]) is None
