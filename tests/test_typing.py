"""Type checkers read the library as its users see it: installed, with `py.typed`.

`tests/typing/user.py` has every public function with the exact types, and no error; of `MISTAKES` each line that is
marked is one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USER = ROOT / "tests" / "typing" / "user.py"
MISTAKES = '''"""Mistakes of a user, each of which both type checkers have to see."""

from __future__ import annotations

import resnets


def log(event: str) -> None:
    print(event)


def mistakes(network: resnets.ResNet, run: resnets.Run) -> None:
    resnets.train("digits", epochz=3)  # wrong
    resnets.train("digits", precision="fp64")  # wrong
    resnets.train("digits", subscribers=(log,))  # wrong
    resnets.train(recipe="digits")  # wrong
    resnets.resume(3)  # wrong
    resnets.evaluate(run, split="valid")  # wrong
    resnets.evaluate()  # wrong
    resnets.load(run, runtime="tensorrt")  # wrong
    resnets.predict(run, "a.jpg", topp=3)  # wrong
    resnets.replay(run)  # wrong
    resnets.large_batch("digits", 512)  # wrong
    resnets.describe(run, size="224", batch="8")  # wrong
    resnets.reproduce("figure6", log=3)  # wrong
    resnets.save(network, "model.safetensors")  # wrong
    resnets.save(network, "model.safetensors", classes=["cat", "dog"])  # wrong
    resnets.save(run, "model.safetensors", like=run)  # wrong
    resnets.Spec(blocks="basic")  # wrong
    resnets.Recipe(batch="64")  # wrong
    resnets.load(run).embed(["a.jpg"], batch="8")  # wrong
    resnets.load(run).to(0.5)  # wrong
    resnets.load(run).klasses  # wrong
    run.folder = run.model  # wrong
    resnets.tarin("digits")  # wrong
    print(run.accuracy)  # wrong
'''
MARKED = {number for number, line in enumerate(MISTAKES.split("\n"), start=1) if line.endswith("# wrong")}
PATHS = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "MYPYPATH"} | {"PYTHONPATH": PATHS}
FILES = ("user.py", "mistakes.py")


def write_files(folder: Path) -> None:
    """Writes the program of a user without mistakes and the one with them."""
    for name, text in zip(FILES, (USER.read_text(), MISTAKES), strict=True):
        (folder / name).write_text(text)


def test_every_public_function_is_called_by_the_user() -> None:
    import resnets

    called = set(re.findall(r"resnets\.(\w+)", USER.read_text()))
    assert called >= set(resnets.__all__) - {"TrainingError"}
    assert len(MARKED) > 20


@pytest.mark.slow
def test_mypy_finds_no_error_of_the_user_and_every_mistake(tmp_path: Path) -> None:
    write_files(tmp_path)
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nstrict = true\npretty = false\n[mypy-torch.*]\nfollow_untyped_imports = false\n")
    cache = ROOT / ".mypy_cache" / "user"
    options = ["--config-file", str(settings), "--cache-dir", str(cache)]
    command = [sys.executable, "-m", "mypy", *options, *FILES]
    found = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    errors = re.findall(r"(\w+)\.py:(\d+): error: (.*)", found.stdout)
    assert errors, found.stdout + found.stderr
    assert [error for error in errors if error[0] != "mistakes"] == []
    assert {int(line) for _, line, _ in errors} == MARKED


def test_pyright_finds_no_error_of_the_user_and_every_mistake(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("needs pyright, which is in the group dev")
    write_files(tmp_path)
    settings = {"typeCheckingMode": "strict", "pythonVersion": f"{sys.version_info.major}.{sys.version_info.minor}"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    found = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert found.stdout, found.stderr
    errors = [
        (Path(each["file"]).stem, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(found.stdout)["generalDiagnostics"]
    ]
    assert [error for error in errors if error[0] != "mistakes"] == []
    assert {line for _, line, _ in errors} == MARKED
