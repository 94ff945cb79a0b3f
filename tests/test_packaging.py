"""What the project says of itself to those who install it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def test_no_constraint_hides_what_the_declared_ranges_do() -> None:
    settings = project().get("tool", {}).get("uv", {})
    assert not {"constraint-dependencies", "override-dependencies"} & settings.keys()


def test_classifiers_name_every_python_from_the_lowest_that_is_declared() -> None:
    declared = project()["project"]
    (lowest,) = re.findall(r">=3\.(\d+)", declared["requires-python"])
    named = [c.rsplit(" :: ", 1)[1] for c in declared["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert named == [f"3.{minor}" for minor in range(int(lowest), int(lowest) + len(named))]
    assert len(named) >= 3


def test_every_dependency_has_a_lowest_version() -> None:
    declared = project()["project"]
    extras = declared["optional-dependencies"].values()
    for name in [*declared["dependencies"], *(each for extra in extras for each in extra)]:
        assert re.match(r"[a-z0-9-]+>=\d", name), name


def test_no_file_was_added_by_accident() -> None:
    for path in tracked():
        if path.is_file() and path.name != "__init__.py":
            assert path.stat().st_size, f"{path} is empty"


def test_type_checkers_of_users_read_the_types_of_the_package() -> None:
    assert ROOT / "src" / "resnets" / "py.typed" in tracked()  # PEP 561; the wheel has every file of the package
    assert "wheel" not in project()["tool"]["hatch"]["build"]["targets"]
