"""The logic of the page's modules, in the browser that runs them.

Each `unit/test_*.js` exports functions whose names begin with `test_`; one that throws has failed.
"""

import re
from pathlib import Path

import pytest
from browser.conftest import ORIGIN
from colotrace_coordinator.api.openapi import describe_api
from colotrace_formats.formats import FORMATS
from playwright.async_api import Page

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
async def test_module(module_tab: Page, module: str, name: str) -> None:
    assert await module_tab.evaluate(RUN, [f"{ORIGIN}/unit/{module}", name]) is None


async def test_bounds_of_the_form_are_those_of_the_api(module_tab: Page) -> None:
    read = f"async () => (await import('{ORIGIN}/unit/test_request.js')).bounds()"
    ours = await module_tab.evaluate(read)
    schema = describe_api("0")["components"]["schemas"]["TracerouteRequest"]["properties"]
    theirs = schema["options"]["properties"]
    assert set(ours) == set(theirs)
    for name, option in ours.items():
        told = theirs[name]
        assert str(option["standard"]).lower() == str(told["default"]).lower(), name
        if told["type"] == "integer" and "enum" not in told:
            assert option["most"] == told["maximum"], name
            assert option["least"] in (told["minimum"], 1), name  # the API takes 0 as the default
        elif "enum" in told:
            assert option["choices"] == [str(each) for each in told["enum"]], name


async def test_formats_to_save_are_those_of_the_api(module_tab: Page) -> None:
    read = f"async () => (await import('{ORIGIN}/views/share.js')).FORMATS"
    ours = {name: told[1] for name, told in (await module_tab.evaluate(read)).items()}
    assert ours == {name: each.extension for name, each in FORMATS.items()}
