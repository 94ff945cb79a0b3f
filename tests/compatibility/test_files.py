"""Files, runs and models of every earlier version load, resume and evaluate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.artifacts.model_file import load, weights_sha256
from resnets.core.config import decode
from resnets.models.catalog import CATALOG
from resnets.models.spec import Spec
from resnets.training.environment import choose
from resnets.training.plan import read_plan
from resnets.training.recipe import Recipe

FILES = Path(__file__).parent / "files"
VERSIONS = sorted(path.name for path in FILES.iterdir())


def expected(version: str) -> dict[str, Any]:
    content = json.loads((FILES / version / "expected.json").read_text())
    assert isinstance(content, dict)
    return content


RUNS = [(version, name) for version in VERSIONS for name in expected(version)["runs"]]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all of them, in which runs find their data as they did: by a path from the current folder."""
    shutil.copytree(FILES, tmp_path / "files")
    return tmp_path / "files"


@pytest.mark.parametrize("version", VERSIONS)
def test_recipes_and_specs_are_read(version: str) -> None:
    recipes = json.loads((FILES / version / "recipes.json").read_text())
    specs = json.loads((FILES / version / "specs.json").read_text())
    assert len(recipes) > 5
    for name, content in recipes.items():
        assert decode(Recipe, content).name == name
    for name, content in specs.items():
        assert decode(Spec, content) == CATALOG[name], name


@pytest.mark.parametrize(("version", "name"), RUNS)
@pytest.mark.parametrize("state", ["finished", "cut"])
def test_the_hash_of_a_plan_stays(version: str, name: str, state: str) -> None:
    plan = read_plan(FILES / version / f"{name}-{state}" / "recipe.json")
    assert plan.sha256 == expected(version)["runs"][name]["plan_sha256"]
    assert plan.data_sha256 == expected(version)["runs"][name]["data_sha256"]


@pytest.mark.parametrize(("version", "name"), RUNS)
def test_a_finished_run_is_described_evaluated_and_predicts(
    version: str, name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files / version)
    then = expected(version)["runs"][name]
    assert resnets.describe(f"{name}-finished").weights_sha256 == then["weights_sha256"]
    scores = resnets.evaluate(f"{name}-finished", device="cpu", tta="center")
    assert scores.summary()["samples"] == then["samples"]
    assert scores.accuracy == then["accuracy"]
    assert scores.metrics["loss"] == pytest.approx(then["loss"], rel=1e-5)
    model = resnets.load(f"{name}-finished")
    image = next((files / version / "plain").rglob("*.png"))
    assert {label for label, _ in model.predict(image, top=10)} == set(model.classes)


@pytest.mark.parametrize(("version", "name"), RUNS)
def test_a_finished_run_stays_finished(version: str, name: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files / version)
    before = (files / version / f"{name}-finished" / "model.safetensors").read_bytes()
    assert resnets.resume(f"{name}-finished").was_finished
    assert (files / version / f"{name}-finished" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(("version", "name"), RUNS)
def test_a_run_that_was_cut_off_ends_as_the_whole_one(
    version: str, name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit where the machine and torch are those that began it, else but for rounding."""
    monkeypatch.chdir(files / version)
    run = resnets.resume(f"{name}-cut")
    assert not run.was_finished
    then = read_plan(run.folder / "recipe.json").environment
    now = choose("cpu", then.precision)
    resumed, _ = load(run.model)
    whole, _ = load(files / version / f"{name}-finished" / "model.safetensors")
    if all(getattr(then, each) == getattr(now, each) for each in ("hardware", "torch", "python")):
        assert weights_sha256(resumed) == expected(version)["runs"][name]["weights_sha256"]
    assert resumed.keys() == whole.keys()
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("version", "name"), RUNS)
def test_a_step_of_an_earlier_run_is_made_again(
    version: str, name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files / version)
    logged = [json.loads(line) for line in Path(f"{name}-finished/log.jsonl").read_text().splitlines()]
    step = next(e["step"] for e in reversed(logged) if e["event"] == "step")
    assert resnets.replay(f"{name}-finished", step=step).step == step
