"""The house's order: imports go down only, and no file names a package registry's host."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resnets

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "resnets"
FLOORS = (
    {
        "devices",
        "errors",
        "files",
        "draws",
        "frozen",
        "preprocessing",
        "sizes",
        "version",
        "signatures",
        "typed",
        "console",
        "cores",
    },
    {"nn"},
    {"models", "data"},
    {"tasks"},
    {"evaluation"},
    {"artifacts"},
    {"training"},
    {"recipes"},
    {"lab"},
    {"api", "cli", "__main__", "__init__"},
)
# Rooms of one floor that a bar stands between.
BARS = ({"models", "data"},)
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imported_rooms(module: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            package = node.module or ""
            names = [f"{package}.{alias.name}" for alias in node.names] if package == "resnets" else [package]
        rooms |= {name.split(".")[1] for name in names if name.startswith("resnets.")}
    return {room for room in rooms if not room.startswith("__version")}


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_down_only(module: Path) -> None:
    own = room_of(module)
    for other in imported_rooms(module):
        assert floor_of(other) <= floor_of(own), f"{own} imports {other}, which is above it"
        assert not any(own != other and {own, other} <= bar for bar in BARS), f"{own} and {other} must not meet"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert rooms == set().union(*FLOORS)


def test_nn_knows_torch_only() -> None:
    for module in (PACKAGE / "nn").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in {"__future__", "torch", "resnets", "typing",
                                                             "dataclasses", "collections"}  # fmt: skip
                assert not (node.module or "").startswith("resnets") or (node.module or "").startswith("resnets.nn")


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
        resnets.tarin  # noqa: B018


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
