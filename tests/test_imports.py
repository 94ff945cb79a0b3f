"""Imports go down only and in no circles, files stay short, and no file names a package registry's host."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import resnets

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "resnets"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the bottom to the top: a module imports from its own package and from those before it.
ORDER = (
    "version",
    "core",
    "nn",
    "models",
    "modalities",
    "data",
    "tasks",
    "evaluation",
    "artifacts",
    "reporting",
    "checks",
    "training",
    "recipes",
    "experiments",
    "commands",
    "cli",
    "__main__",
    "__init__",
)
# Networks know nothing of data, and data nothing of networks: they meet in `tasks` and above.
NETWORKS, DATA = {"nn", "models"}, {"modalities", "data"}

MOST_LINES = 300
LONGER = "Longer than 300 lines because"  # in the docstring of a module that is, followed by the reason


def name_of(module: Path) -> str:
    """The dotted name of the module in a file, such as "resnets.nn.blocks"."""
    parts = module.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(module): module for module in MODULES}


def package_of(name: str) -> str:
    return [*name.split("."), "__init__"][1]


def imports_of(source: str) -> Iterator[str]:
    """Names of the modules of this library that `source` imports: in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "resnets")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno} imports relatively"
            base = node.module or ""
            if base.split(".")[0] == "resnets":
                yield from (f"{base}.{a.name}" if f"{base}.{a.name}" in FILES else base for a in node.names)


def imported_by(module: Path) -> set[str]:
    return set(imports_of(module.read_text()))


def circles_in(graph: dict[str, set[str]]) -> list[list[str]]:
    """The modules that reach themselves, in groups that reach one another."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    reach = {name: reached(name) for name in graph}
    circles = {tuple(sorted(o for o in reach[n] if n in reach.get(o, ()))) for n in graph if n in reach[n]}
    return [list(circle) for circle in sorted(circles)]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_down_only(module: Path) -> None:
    own = package_of(name_of(module))
    for name in imported_by(module):
        other = package_of(name)
        assert ORDER.index(other) <= ORDER.index(own), f"{own} imports {name}, which is above it"
        assert not (own in NETWORKS and other in DATA), f"{own} imports {name}: networks must not know of data"
        assert not (own in DATA and other in NETWORKS), f"{own} imports {name}: data must not know of networks"


@pytest.mark.parametrize("kind", ["tasks", "modalities"])
def test_tasks_and_modalities_never_import_each_other(kind: str) -> None:
    folders = {path.name for path in (PACKAGE / kind).iterdir() if path.is_dir() and path.name != "__pycache__"}
    for name, module in FILES.items():
        own = [*name.split("."), "", ""][1:3]
        if own[0] == kind and own[1] in folders:
            others = {other.split(".")[2] for other in imported_by(module) if other.startswith(f"resnets.{kind}.")}
            assert not others & (folders - {own[1]}), f"{name} imports another one of {kind}"


def test_modules_import_one_another_in_no_circle() -> None:
    assert circles_in({name: imported_by(module) for name, module in FILES.items()}) == []


def test_a_circle_would_be_found() -> None:
    assert circles_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"a", "x"}}) == [["b", "c"], ["d"]]


@pytest.mark.parametrize(
    "source",
    [
        "from resnets.nn import blocks",
        "import resnets.nn.blocks",
        "from resnets.nn.blocks import Basic",
        "def f():\n    from resnets.nn.blocks import Basic",
        "if TYPE_CHECKING:\n    import torch, resnets.nn.blocks as b",
    ],
)
def test_every_way_to_import_a_module_is_seen(source: str) -> None:
    assert list(imports_of(source)) == ["resnets.nn.blocks"]


def test_every_package_has_a_place_in_the_order() -> None:
    assert {package_of(name) for name in FILES} <= set(ORDER)


def is_too_long(source: str) -> bool:
    docstring = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
    _, phrase, reason = docstring.partition(LONGER)
    return source.count("\n") > MOST_LINES and not (phrase and reason)


def test_files_are_read_in_one_sitting() -> None:
    folders = ("src", "tests", "benchmarks", "scripts")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    long = [str(file.relative_to(ROOT)) for file in files if is_too_long(file.read_text())]
    assert not long, f"more than {MOST_LINES} lines, and no docstring says {LONGER!r} ...: {long}"


def test_a_long_file_needs_a_reason() -> None:
    assert is_too_long("x = 1\n" * 301)
    assert not is_too_long("x = 1\n" * 300)
    assert not is_too_long('"""Tables. Longer than 300\nlines because a table is read as one."""\n' + "x = 1\n" * 300)
    assert is_too_long('"""Tables. Longer than 300 lines because"""\n' + "x = 1\n" * 300)


def test_nn_knows_torch_only() -> None:
    allowed = {"__future__", "collections", "contextlib", "dataclasses", "resnets", "torch", "typing"}
    for module in (PACKAGE / "nn").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, module.name
            assert all(n.startswith("resnets.nn") for n in names if n.split(".")[0] == "resnets"), module.name


@pytest.mark.parametrize(
    "statement",
    [
        "import resnets.cli",
        "import resnets; resnets.CATALOG['resnet50']; resnets.list_recipes()",
        "import resnets; resnets.describe('resnet50').parameters",
        "from resnets import Spec, Recipe, Preprocessing",
    ],
)
def test_frozen_data_is_read_without_torch(statement: str) -> None:
    check = f"import sys; {statement}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_every_public_name_is_there() -> None:
    assert sorted(resnets.__all__) == sorted([*resnets._HOMES, "__version__"])
    for name in resnets.__all__:
        assert getattr(resnets, name) is not None
    with pytest.raises(AttributeError, match="tarin"):
        resnets.tarin  # type: ignore[attr-defined]  # noqa: B018


def test_no_file_names_a_package_registry() -> None:
    hosts = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("download", "pytorch", "org"),
                                           ("npmjs", "org"), ("anaconda", "org"))]  # fmt: skip
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    for name in tracked or [str(p.relative_to(ROOT)) for p in MODULES]:
        text = (ROOT / name).read_text(errors="replace") if (ROOT / name).is_file() else ""
        assert not [host for host in hosts if host in text], f"{name} names a registry's host"
    assert "uv.lock" not in tracked


def test_no_public_name_is_also_a_package_that_would_replace_it_when_imported() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {
        path.stem for path in PACKAGE.glob("*.py")
    }
    assert not packages & set(resnets.__all__)
    for name in resnets.__all__:
        assert getattr(resnets, name) is not None
