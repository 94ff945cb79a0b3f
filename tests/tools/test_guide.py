"""No example of the guides is left out of the tests."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tools.guide import DOCS, sections

TESTS = Path(__file__).parent


def test_each_example_is_run_by_a_test() -> None:
    source = "".join(path.read_text() for path in TESTS.glob("test_*.py"))
    run = set(re.findall(r'guide\.run\("([^"]+)"', source))
    assert sections("clients.md").keys() | sections("tools.md").keys() == run


def test_each_heading_with_an_example_has_one() -> None:
    """A heading has one example at most, since `sections` would keep the last of them."""
    for file in ("clients.md", "tools.md"):
        assert len(sections(file)) == (DOCS / file).read_text().count("```python")
