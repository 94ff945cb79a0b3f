"""The examples of docs/clients.md, run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "clients.md"


def sections() -> dict[str, str]:
    """The Python of each section by its heading, with as many empty lines before it as tracebacks need."""
    found: dict[str, str] = {}
    text = GUIDE.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        headings = re.findall(r"^## (.+)$", text[: match.start()], re.MULTILINE)
        found[headings[-1]] = "\n" * text[: match.start(1)].count("\n") + match[1]
    return found


def run(section: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Runs the example of a section in `folder`, and returns the module that it makes."""
    module = ModuleType("example_of_guide")  # in sys.modules, since classes are pickled and inspected by their module
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(folder)
    exec(compile(sections()[section], GUIDE, "exec"), module.__dict__)
    return module
