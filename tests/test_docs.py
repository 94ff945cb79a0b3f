"""The examples of the docs run as they stand: Python in order and for each file in a folder of its own, with small
stand-ins for data and long training; commands are read by the command line, their recipes, settings and names too.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import resnets
from resnets import cli
from resnets.commands.arguments import find_recipe, find_spec
from resnets.experiments import catalog as experiments
from resnets.models.catalog import CATALOG
from resnets.recipes.catalog import RECIPES
from resnets.training.recipe import Recipe
from tests.conftest import noise

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]
DOCSTRINGS = ["resnets", "resnets.training.events"]
HISTORY = "docs/log.md"  # what was run at its time, with the names of that time
ELSEWHERE = "docs/clients.md"  # whose blocks need other libraries: `tests/tools` runs them
SHORT = {"digits": 6, "paper/cifar": 2}  # steps of a recipe in these tests

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    return [Block(page, text.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in FENCE.finditer(text)]


def example_of(module: str) -> Block:
    """The indented lines of a module's docstring."""
    lines = (inspect.getdoc(importlib.import_module(module)) or "").split("\n")
    return Block(module, 1, "python", "\n".join(line[4:] for line in lines if line.startswith("    ") or not line))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of an example: with its files, and recipes of a few steps."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(28, 28, 1)).save("seven.png")

    def short(make: Callable[[], Recipe], steps: int) -> Callable[[], Recipe]:
        return lambda: replace(make(), steps=steps, epochs=None)

    for name, steps in SHORT.items():
        monkeypatch.setitem(RECIPES, name, short(RECIPES[name], steps))
    return tmp_path


def write_fcn() -> None:
    """Writes fcn.pth, a file with the keys and shapes of torchvision's fcn_resnet50, whose weights are all one."""
    state = resnets.create("fcn_resnet50", classes=21).state_dict()
    torch.save({name: torch.ones((), dtype=each.dtype).expand(each.shape) for name, each in state.items()}, "fcn.pth")


def run(blocks: list[Block]) -> dict[str, Any]:
    """Runs blocks one after another in one namespace."""
    if any("fcn.pth" in block.text for block in blocks):
        write_fcn()
    found: dict[str, Any] = {"__name__": "example"}
    for block in blocks:
        padded = "\n" * (block.line - 1) + block.text  # so that a traceback has the line of the page
        exec(compile(padded, block.page, "exec"), found)
    return found


WITH_PYTHON = [
    page
    for page in PAGES
    if page not in (HISTORY, ELSEWHERE) and any(block.language == "python" for block in blocks_of(page))
]


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_examples_run(page: str, folder: Path) -> None:
    blocks = [block for block in blocks_of(page) if block.language == "python"]
    found = run(blocks)
    if page == "README.md":
        assert found["run"].metrics["split"] == "test"


@pytest.mark.parametrize("module", DOCSTRINGS)
def test_examples_of_docstrings_run(module: str, folder: Path) -> None:
    found = run([Block(module, 1, "python", "import resnets"), example_of(module)])
    assert len(found) > 2


# In an order in which each has what it needs of those before.
EXAMPLES = ("train", "replay", "evaluate", "predict", "load", "describe", "resume", "save", "large_batch", "benchmark")
MINUTES = ("check", "reproduce")  # which are read and not run: they need photographs, or minutes


def example_of_function(name: str) -> Block:
    """The lines under "Example:" in the docstring of a public function."""
    text = (inspect.getdoc(getattr(resnets, name)) or "").partition("\nExample:\n")[2]
    assert text, f"{name} has no example"
    return Block(name, 1, "python", "\n".join(line[4:] for line in text.split("\n")))


def test_examples_of_functions_run(folder: Path) -> None:
    run([Block("", 1, "python", "import resnets"), *map(example_of_function, EXAMPLES)])
    for name in MINUTES:
        compile(example_of_function(name).text, name, "exec")


def test_images_are_there_and_small_and_all_are_shown() -> None:
    shown = {
        (ROOT / page).parent / name
        for page in PAGES
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / page).read_text())
    }
    assert shown >= set((ROOT / "docs" / "images").iterdir())
    for path in shown:
        assert path.stat().st_size < 300_000, path


def test_a_wrong_example_would_fail() -> None:
    with pytest.raises(resnets.UsageError):
        run([Block("page", 1, "python", "import resnets\nresnets.create('resnet51')")])


def commands_in(text: str) -> list[str]:
    """The `resnets` commands in the lines of a block that has no language, or a shell's; continued lines are one."""
    lines = text.replace("\\\n", " ").split("\n")
    return [line for line in lines if re.search(r"\bresnets +[a-z]+\b", line.partition(" #")[0])]


def argv_of(line: str) -> list[str] | None:
    """What follows `resnets` in a command, without its comment; None where it is none of the commands."""
    words = shlex.split(line.partition(" | ")[0], comments=True)
    places = [number for number, word in enumerate(words) if word == "resnets"]
    return words[places[-1] + 1 :] if places and len(words) > places[-1] + 1 else None


COMMANDS = [
    (page, line)
    for page in PAGES
    if page != HISTORY
    for text in (
        *(block.text for block in blocks_of(page) if block.language in ("", "sh", "bash", "console")),
        *re.findall(r"`(resnets [a-z]+ [^`\n]*)`", FENCE.sub("", (ROOT / page).read_text())),
    )
    for line in commands_in(text)
    if "$(" not in line and "[" not in line.replace("'[", "").replace("=[", "")
]


def is_placeholder(word: str) -> bool:
    return bool(re.fullmatch(r"[A-Z_]+(=[A-Z]+)?|\.\.\.", word))


def check_command(line: str) -> bool:
    """Whether `line` is a command that could be checked.

    Raises:
        ResnetsError: the command line refuses it, or a recipe, a setting or a name in it is unknown.
    """
    argv = argv_of(line)
    if argv is None or argv[0] not in cli.COMMANDS or "..." in argv:
        return False
    for number, word in enumerate(argv):
        if is_placeholder(word) and number and argv[number - 1] in ("--step", "--top", "--seeds", "--jobs"):
            argv[number] = "1"
    given = cli._parse(argv)[0].arguments
    if argv[0] == "train":
        words = [word for word in (given.recipe, *given.overrides) if word and not is_placeholder(word)]
        settings = [word for word in words if "=" in word]
        names = [word for word in words if "=" not in word and not word.endswith(".json")]
        of_task = {"task.ignore": "segmentation/small", "task=localization": "localization/small"}
        usual = next((name for part, name in of_task.items() if part in line), "digits")
        recipe = find_recipe(names[0] if names else usual)
        recipe.with_overrides(settings)
    if argv[0] == "reproduce" and not is_placeholder(given.experiment):
        experiments.find(given.experiment)
    if argv[0] == "train" and given.model and not is_placeholder(given.model):
        find_spec(given.model)
    if argv[0] in ("describe", "benchmark") and "/" not in given.model and not is_placeholder(given.model):
        assert given.model in CATALOG
    return True


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_are_read_by_the_command_line(page: str, line: str) -> None:
    check_command(line)


def test_most_commands_are_checked() -> None:
    checked = [line for _, line in COMMANDS if check_command(line)]
    assert len(checked) > 30
    assert {(argv_of(line) or [""])[0] for line in checked} >= {"train", "resume", "evaluate", "predict", "reproduce"}


@pytest.mark.parametrize(
    "line",
    [
        "resnets train digits --epoch 3",
        "resnets train digit",
        "resnets train paper/cifar optimizer.rate=0.1",
        "resnets train --data photos --model resnet51",
        "uv run --no-dev resnets evaluate runs/a --split valid  # wrong",
        "torchrun --nproc-per-node=2 -m resnets train paper/cifar --out runs/a batch=many",
        "resnets reproduce figure99",
    ],
)
def test_a_wrong_command_would_fail(line: str) -> None:
    with pytest.raises((resnets.ResnetsError, SystemExit)):
        check_command(line)
