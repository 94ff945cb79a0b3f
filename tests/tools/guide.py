"""The examples of docs/clients.md and docs/tools.md, run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def sections(file: str) -> dict[str, str]:
    """The Python of each section by its heading, with as many empty lines before it as tracebacks need."""
    found: dict[str, str] = {}
    text = (DOCS / file).read_text()
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        headings = re.findall(r"^## (.+)$", text[: match.start()], re.MULTILINE)
        found[headings[-1]] = "\n" * text[: match.start(1)].count("\n") + match[1]
    return found


def run(section: str, folder: Path, monkeypatch: pytest.MonkeyPatch, file: str = "clients.md") -> ModuleType:
    """Runs the example of a section in `folder`, and returns the module that it makes."""
    module = ModuleType("example_of_guide")  # in sys.modules, since classes are pickled and inspected by their module
    module.__file__ = str(DOCS / file)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(folder)
    exec(compile(sections(file)[section], DOCS / file, "exec"), module.__dict__)
    return module
