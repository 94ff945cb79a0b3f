"""Makes docs/images: runs commands on digits and drawn shapes, and takes screenshots of the pages that they write.

    scripts/screenshots [--all FOLDER]

With `--all`, the pages stay in FOLDER, with a screenshot of each at full length on a desk and a phone, light and dark;
a page that is there already is not made again.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.reporting.browser import CHROMIUM, SCHEMES, WIDTHS, Scheme, browser, opened
from tests.reporting.made_pages import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MARGIN = 16  # pixels beside and below what is shown
# Left, width, top and end of the sections from the heading that has a text; without a text, of the page.
EXTENT = """
([text, sections]) => {
  const main = document.querySelector('main').getBoundingClientRect()
  const all = [...document.querySelectorAll('h2')]
  const first = text ? all.findIndex((each) => each.textContent.includes(text)) : -1
  if (text && first < 0) throw new Error(`no heading has ${text}`)
  const top = first < 0 ? 0 : all[first].getBoundingClientRect().top
  const after = all[first + sections]
  return [main.left, main.width, top, after ? after.getBoundingClientRect().top : main.bottom + 16]
}
"""


@dataclass(frozen=True)
class Shot:
    """A screenshot that the docs show.

    Args:
        page: one of `PAGES`.
        heading: a part of the heading with which it begins; "" is the top of the page.
        sections: how many headings it has.
        height: the most pixels.
    """

    page: str
    heading: str = ""
    sections: int = 100
    width: int = WIDTHS["desktop"]
    scheme: Scheme = "light"
    height: int = 1600


SHOTS = {
    "report": Shot("digits", height=1500),
    "report-phone": Shot("shapes", width=WIDTHS["phone"], scheme="dark", height=850),
    "errors": Shot("shapes", "the worst first", 1, height=690),
    "matrix": Shot("many-classes", "Confusion matrix", 2),
    "check": Shot("check", height=970),
    "compare": Shot("compare"),
    "sweep": Shot("sweep", scheme="dark"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("Chromium is needed for the screenshots (Debian: apt-get install chromium).")
    with tempfile.TemporaryDirectory() as place, browser() as started:
        folder = (given.all or Path(place)).absolute()
        pages = {name: written(folder / name, name) for name in PAGES}
        for name, shot in SHOTS.items():
            with opened(started, pages[shot.page].as_uri(), shot.width, shot.scheme) as page:
                save(part(page, shot), IMAGES / f"{name}.png")
        if given.all:
            save_all(started, pages, folder)


def written(folder: Path, name: str) -> Path:
    """The page called `name`, made below `folder` if it is not there."""
    kept = folder / f"{name}.html"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = PAGES[name](folder, 1.0).read_bytes()
        kept.write_bytes(made.replace(f"{folder}/".encode(), b""))  # as if the commands had been given there
        print(f"page {kept}", flush=True)
    return kept


def part(page: Page, shot: Shot) -> bytes:
    left, width, top, bottom = page.evaluate(EXTENT, [shot.heading, shot.sections])
    room = {"x": max(0, left - MARGIN), "y": max(0, top - MARGIN / 2), "width": min(shot.width, width + 2 * MARGIN)}
    taken: bytes = page.screenshot(full_page=True, clip={**room, "height": min(shot.height, bottom - room["y"])})
    return taken


def save_all(started: Browser, pages: dict[str, Path], folder: Path) -> None:
    for name, path in pages.items():
        for place, width in WIDTHS.items():
            for scheme in SCHEMES:
                with opened(started, path.as_uri(), width, scheme) as page:
                    save(page.screenshot(full_page=True), folder / f"{name}-{place}-{scheme}.png")


def save(screenshot: bytes, path: Path) -> None:
    """Writes a PNG of at most 256 colours, which are a third of the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(screenshot)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(f"{path}: {image.width} x {image.height} pixels, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
