"""The command that installs a package is that of the tool that made the environment."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from resnets.core import installation
from resnets.core.errors import not_installed
from resnets.core.installation import install_command


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with pip, and this project in it from an index."""
    path = tmp_path / "project" / ".venv"
    path.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    install(monkeypatch, path)
    return path


def install(monkeypatch: pytest.MonkeyPatch, path: Path, *, pip: bool = True, origin: Any = None) -> None:
    class Distribution:
        def read_text(self, name: str) -> str | None:
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(sys, "prefix", str(path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if pip else None)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution())
    monkeypatch.setattr(installation, "__file__", str(path / "lib" / "site-packages" / "resnets" / "core" / "i.py"))
    monkeypatch.setattr(installation, "_in_notebook", lambda: False)


def uv(path: Path) -> None:
    (path / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9.1\n")


def test_where_there_is_pip_it_installs(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_command("timm") == "pip install timm"
    assert install_command(extra="audio") == "pip install 'resnets[audio]'"
    monkeypatch.setattr(installation, "_in_notebook", lambda: True)
    assert install_command("timm") == "%pip install timm"


def test_an_environment_of_uv_has_no_pip(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv(prefix)
    install(monkeypatch, prefix, pip=False)
    assert install_command("timm") == f"uv pip install --python {prefix} timm"
    monkeypatch.setenv("VIRTUAL_ENV", str(prefix))
    assert install_command(extra="export") == "uv pip install 'resnets[export]'"
    for name in ("uv.lock", "pyproject.toml"):
        (prefix.parent / name).touch()
    assert install_command(extra="export") == "uv add 'resnets[export]'"
    assert install_command("timm", "pyarrow") == "uv add timm pyarrow"


def test_a_clone_has_its_own_extras(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = prefix.parent
    editable = {"url": f"file://{clone}", "dir_info": {"editable": True}}
    install(monkeypatch, prefix, origin=editable)
    assert install_command(extra="audio") == f"pip install -e '{clone}[audio]'"
    assert install_command("timm") == "pip install timm"
    uv(prefix)
    install(monkeypatch, prefix, pip=False, origin=editable)
    monkeypatch.setenv("VIRTUAL_ENV", str(prefix))
    assert install_command(extra="audio") == f"uv pip install -e '{clone}[audio]'"
    (clone / "uv.lock").touch()
    assert install_command(extra="audio") == "uv sync --inexact --extra audio"


@pytest.mark.parametrize(
    ("path", "package", "extra"),
    [
        ("pipx/venvs/resnets", "pipx runpip resnets install timm", "pipx runpip resnets install 'resnets[audio]'"),
        ("uv/tools/resnets", "uv tool install --with timm resnets", "uv tool install 'resnets[audio]'"),
    ],
)
def test_tools_that_keep_a_command_apart(
    path: str, package: str, extra: str, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, prefix / path, pip=False)
    assert (install_command("timm"), install_command(extra="audio")) == (package, extra)


def test_environments_without_pip_get_it_first(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, prefix, pip=False)
    assert install_command("timm") == "python -m ensurepip && python -m pip install timm"
    (prefix / "conda-meta").mkdir()
    assert install_command("timm") == "conda install pip && python -m pip install timm"


def test_the_error_says_what_needs_the_package(prefix: Path) -> None:
    assert str(not_installed("Reading sound needs soundfile", "audio")) == (
        "Reading sound needs soundfile, which is not installed: pip install 'resnets[audio]'"
    )
    assert str(not_installed("timm's weights need timm", package="timm")).endswith("not installed: pip install timm")
