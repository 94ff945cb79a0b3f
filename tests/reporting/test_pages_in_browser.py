"""The pages as a browser shows them, on a desk and on a phone, light and dark: nothing is cut, nothing makes the page
wider than the window, and axe-core finds nothing that keeps anybody from reading them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from resnets.reporting.pages import render
from tests.reporting.browser import CHROMIUM, SCHEMES, WIDTHS, browser, opened
from tests.reporting.made_pages import PAGES
from tests.reporting.test_report import result, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHORT = 0.1  # of the training of the pages in the docs
# Texts that are wider or higher than the box that cuts them off, and texts of charts that nobody can scroll to.
CUT = """
() => {
  const found = [], cuts = (value) => value == 'hidden' || value == 'clip'
  for (const each of document.querySelectorAll('body *')) {
    const style = getComputedStyle(each), name = `${each.tagName} ${each.textContent.slice(0, 40)}`
    if (cuts(style.overflowX) && each.scrollWidth > each.clientWidth + 1) found.push(name)
    if (cuts(style.overflowY) && each.scrollHeight > each.clientHeight + 1) found.push(name)
  }
  for (const text of document.querySelectorAll('svg text')) {
    const box = text.getBoundingClientRect(), room = text.closest('.scroll') ?? document.documentElement
    const left = room.getBoundingClientRect().left
    if (box.left < left - 1 || box.right > left + room.scrollWidth + 1) found.push(`text ${text.textContent}`)
  }
  return found
}
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    pytest.importorskip("playwright", reason="needs playwright and axe-playwright-python, of the group dev")
    with browser() as found:
        yield found


def faults(page: Page, width: int) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    response: dict[str, Any] = Axe().run(page).response
    found = [f"{each['id']}: {node['html'][:120]}" for each in response["violations"] for node in each["nodes"]]
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
        found.append(f"{wide} pixels wide")
    return found + [f"cut: {each}" for each in page.evaluate(CUT)]


def assert_readable(started: Browser, path: Path) -> None:
    for width in WIDTHS.values():
        for scheme in SCHEMES:
            with opened(started, path.as_uri(), width, scheme) as page:
                assert faults(page, width) == [], f"{path.name} at {width} pixels, {scheme}"


# Those whose parts others have too are long in the making.
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "digits")) for name in PAGES])
def test_everybody_can_read_the_page(name: str, started: Browser, tmp_path: Path) -> None:
    assert_readable(started, PAGES[name](tmp_path, SHORT))


def test_everybody_can_read_the_page_of_an_experiment(started: Browser, tmp_path: Path) -> None:
    page = render(
        "experiment.html", title="Figure 6", question="Do deeper nets learn?", svg="", heading=["net", *"abcdefgh"],
        rows=[[f"net-{'deep-' * number}", *["12.34 ± 0.56%"] * 8] for number in range(9)],
        sentences=["It does."], command="resnets reproduce " + "figure6 " * 9, about=["On two cores."],
    )  # fmt: skip
    (tmp_path / "index.html").write_bytes(page)
    assert_readable(started, tmp_path / "index.html")


NAMES = (
    "a name that says at length what there is in the image of the class {}", "an_unbroken_" + "name_" * 16 + "{}",
    "صنف طويل الاسم جدا جدا جدا {}", "<b>{}</b>", "cat {}",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("classes", [30, 300])
def test_everybody_can_read_the_report_of_classes_with_long_names(
    classes: int, started: Browser, tmp_path: Path
) -> None:
    random = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (8 * classes,), generator=random)
    groups = torch.arange(classes) // 4
    logits = torch.randn(len(labels), classes, generator=random) + 1.5 * (groups[labels][:, None] == groups)
    logits[torch.arange(len(labels)), labels] += 2
    write(tmp_path, result(logits, labels.tolist(), tuple(NAMES[i % len(NAMES)].format(i) for i in range(classes))))
    assert_readable(started, tmp_path / "report.html")


def test_the_heading_of_a_long_table_stays_and_the_keyboard_reaches_it(started: Browser, tmp_path: Path) -> None:
    labels = torch.arange(40).repeat(3)
    write(tmp_path, result(torch.eye(40)[labels], labels.tolist(), tuple(f"class {i}" for i in range(40))))
    with opened(started, (tmp_path / "report.html").as_uri(), 360, "light") as page:
        table = page.get_by_role("region", name="Classes")
        table.focus()
        page.keyboard.press("End")
        page.wait_for_function("element => element.scrollTop > 0", arg=table.element_handle())
        box, heading = table.bounding_box(), table.locator("tr").first.locator("th").first.bounding_box()
        assert box is not None
        assert heading is not None
        assert heading["y"] == pytest.approx(box["y"], abs=2)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<p style="color: #bbb; background: #fff">pale</p>', "color-contrast"),
        ('<div style="width: 500px">wide</div>', "500 pixels wide"),
        ('<p style="width: 3em; overflow: hidden; white-space: nowrap">much longer than that</p>', "cut: P"),
        ('<svg width="50" height="20" style="overflow: visible"><text x="-80" y="10">axis</text></svg>', "cut: text"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
    ],
)
def test_a_page_with_a_fault_would_fail(body: str, fault: str, started: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        f'<!doctype html><html lang="en"><title>t</title><body style="margin: 0"><main><h1>t</h1>{body}</main>'
    )
    with opened(started, path.as_uri(), 360, "light") as page:
        assert any(each.startswith(fault) for each in faults(page, 360))
