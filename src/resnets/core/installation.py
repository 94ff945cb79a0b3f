"""How the user installs a package into the environment that runs: by the tool that made it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import json
import os
import shlex
import sys
from pathlib import Path

PROJECT = "resnets"


def install_command(*packages: str, extra: str = "") -> str:
    """The command that installs packages into the environment of this process.

    Environments of uv have no pip; those of pipx and of `uv tool` belong to one command; a project of uv forgets what
    is not added to it. A clone that is installed as editable has extras of its own folder.

    Args:
        packages: names of packages.
        extra: of this project, in place of packages, such as "audio".
    """
    clone = _clone()
    wanted = list(packages) or [f"{clone or PROJECT}[{extra}]"]
    if clone and not packages:
        if _made_by_uv() and (clone / "uv.lock").is_file() and Path(sys.prefix) == clone / ".venv":
            return f"uv sync --inexact --extra {extra}"
        wanted = ["-e", *wanted]
    arguments = shlex.join(wanted)
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return f"pipx runpip {Path(sys.prefix).name} install {arguments}"
    if ("uv", "tools") in itertools.pairwise(parts):
        return f"uv tool install {arguments if not packages else f'--with {arguments} {PROJECT}'}"
    if importlib.util.find_spec("pip") is not None:
        return f"{'%' if _in_notebook() else ''}pip install {arguments}"
    if not _made_by_uv():
        conda = (Path(sys.prefix) / "conda-meta").is_dir()
        return f"{'conda install pip' if conda else 'python -m ensurepip'} && python -m pip install {arguments}"
    if not clone and _is_of_a_project(Path(sys.prefix)):
        return f"uv add {arguments}"
    active = os.environ.get("VIRTUAL_ENV") or str(Path.cwd() / ".venv")
    where = "" if os.path.realpath(active) == os.path.realpath(sys.prefix) else f"--python {shlex.quote(sys.prefix)} "
    return f"uv pip install {where}{arguments}"


def _clone() -> Path | None:
    """The folder of the clone that this package is run from; None where it was installed from elsewhere."""
    try:
        text = importlib.metadata.distribution(PROJECT).read_text("direct_url.json")
        origin = json.loads(text) if text else {}
    except (importlib.metadata.PackageNotFoundError, ValueError):  # not installed: found by PYTHONPATH
        origin = {}
    if origin.get("dir_info", {}).get("editable"):
        return Path(origin["url"].removeprefix("file://"))
    above = Path(__file__).resolve().parents[3]
    return above if (above / "pyproject.toml").is_file() and (above / "src" / PROJECT).is_dir() else None


def _made_by_uv() -> bool:
    try:
        lines = (Path(sys.prefix) / "pyvenv.cfg").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def _is_of_a_project(prefix: Path) -> bool:
    """Whether it is the environment of a project that uv manages: `.venv` beside the project's lock file."""
    return (prefix.parent / "uv.lock").is_file() and (prefix.parent / "pyproject.toml").is_file()


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
