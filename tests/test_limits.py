"""Numbers, names and JSON that nobody can mean give our error at once: no traceback, no hang, no memory filled."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import main
from resnets.core.config import decode, encode
from resnets.core.errors import FileError, ResnetsError, UsageError
from resnets.core.units import parse_bytes
from resnets.recipes.catalog import find
from resnets.training import environment
from resnets.training.plan import CheckpointPolicy, Plan, read_plan, write_plan
from resnets.training.recipe import Recipe
from resnets.training.run_folder import new_run_folder
from resnets.training.schedules import Cosine, OneCycle, Plateau, Step

HUGE = "1" + "0" * 30
TRAIN = ["train", "digits", "model.depths=[1]", "model.widths=[8]", "--out", "run"]


@pytest.fixture
def quickly() -> Any:
    """Fails the test where it took more than five seconds, torch's import not counted."""

    started = time.process_time()
    yield
    assert time.process_time() - started < 5


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*TRAIN, "--epochs", "1e30"], "epochs must be above 0 and below 1,000,000, not 1e.30"),
        ([*TRAIN, "--epochs", "nan"], "epochs takes a number or none, not nan"),
        ([*TRAIN, "--epochs", "inf"], "epochs takes a number or none, not inf"),
        ([*TRAIN, "steps=1e30"], "steps takes a whole number or none, not 1e.30"),
        ([*TRAIN, f"steps={HUGE}"], "steps takes a whole number or none, not 1000"),
        ([*TRAIN, "steps=1000000000000"], "steps must be from 1 to 1,000,000,000, not 1,000,000,000,000"),
        ([*TRAIN, "batch=1000000000000"], "batch must be at most 1,048,576, not 1,000,000,000,000"),
        ([*TRAIN, "epochs=1", "evaluate_every=1e-300"], "evaluate_every=1e-300 asks for .* evaluations: increase it"),
        ([*TRAIN, "evaluate_every=0"], "evaluate_every must be above 0"),
        ([*TRAIN, "precise_bn=1000000000000"], "precise_bn must be from 0 to 100,000,000"),
        ([*TRAIN, "optimizer.lr=1e999"], "optimizer.lr takes a number, not inf"),
        ([*TRAIN, "optimizer=Muon", "optimizer.iterations=1000000000"], "from 1 to 100 iterations"),
        ([*TRAIN, "--seed", "-1"], "seed must be from 0 to"),
        ([*TRAIN, "--seed", HUGE], "seed takes a whole number or none, .*none beyond"),
        ([*TRAIN, "--workers", HUGE], "workers takes a whole number"),
        ([*TRAIN, "--workers", "1000"], "workers must be from 0 to 256, not 1000"),
        ([*TRAIN, "--checkpoint-minutes", "nan"], "checkpoint_minutes takes a number, not nan"),
        ([*TRAIN, "--checkpoint-minutes", "inf"], "checkpoint_minutes takes a number, not inf"),
        ([*TRAIN, "--keep", "0"], "keep of 1 or more"),
        ([*TRAIN, "memory_limit=" + "9" * 400 + "GiB"], "is not a valid size"),
        ([*TRAIN, "batch=" + "[" * 100_000], "batch takes a whole number"),
        ([*TRAIN, 'optimizer={"kind": "SGD", "lr": 1, "lr": 2}'], "optimizer takes SGD or AdamW or Muon"),
        (["describe", "resnet18", "--size", "0"], "size must be from 1 to 16384, not 0"),
        (["describe", "resnet18", "--size", HUGE], "size takes a whole number"),
        (["describe", "resnet18", "--train", "--batch", "1000000000"], "batch must be from 1 to 1048576"),
        (["benchmark", "resnet18", "--batch", "1000000000"], "batch must be from 1 to 1048576"),
        (["benchmark", "resnet18", "--steps", "0"], "steps must be from 1 to 1000000"),
        (["benchmark", "resnet18", "--size", "100000"], "size must be from 1 to 16384"),
        (["reproduce", "plain-vs-residual", "--seeds", "1000000000"], "seeds must be from 1 to 1000"),
        (["reproduce", "plain-vs-residual", "--jobs", "0"], "jobs must be from 1 to 256"),
        (["evaluate", "n" * 300], "There is no model file or run folder n"),
        (["train", "--data", "n" * 300, "--out", "run"], "There is no dataset or folder 'n"),
        (["resume", "n" * 300], "There is no run in n"),
        (["train", "--out", "n" * 300], "Cannot write to n.*: file name too long"),
        (["describe", "n" * 300], "No model is called 'n"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    argv: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) in (1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    with pytest.raises(UsageError, match=message):
        raise UsageError(captured.err)


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resnets.create("cifar_resnet20", seed=-1), "seed must be from 0 to"),
        (lambda: resnets.create("cifar_resnet20", weights="n" * 300), "n: "),
        (lambda: resnets.load("nowhere", "gpu"), "Device 'gpu' cannot be used"),
        (lambda: resnets.train(out="\0"), r"No folder can be called '\\x00'"),
        (lambda: resnets.train(f"name={chr(0xD800)}"), r"No folder can be called '\\ud800'"),
        (lambda: new_run_folder(None, "a\0b"), "No folder can be called"),
        (lambda: Step(factor=-0.1), "factor must be 0 or more"),
        (lambda: Cosine(final=-1), "final must be 0 or more"),
        (lambda: OneCycle(start=-1), "start must be 0 or more"),
        (lambda: Plateau(patience=0), "patience must be 1 or more"),
        (lambda: parse_bytes("0.1"), "is not a valid size"),
        (lambda: find("digits").with_overrides(["evaluate_every=1e-9"]).evaluation_steps(1437), "evaluations"),
    ],
)
def test_python_is_refused_the_same(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResnetsError, match=message):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("environment.threads", 0, "threads must be from 1 to 4096, not 0"),
        ("environment.threads", 10**12, "threads must be from 1 to 4096"),
        ("environment.threads", 10**400, "environment.threads takes a whole number"),
        ("workers", -1, "workers must be from 0 to 256"),
        ("workers", 10**9, "workers must be from 0 to 256"),
        ("checkpoints.minutes", math.inf, "checkpoints.minutes takes a number or none, not inf"),
        ("checkpoints.keep", 0, "keep of 1 or more"),
        ("recipe.steps", 1e30, "recipe.steps takes a whole number or none"),
        ("recipe.epochs", 1e30, "epochs must be above 0 and below"),
        ("recipe.batch", 10**15, "batch must be at most"),
        ("recipe.optimizer.lr", math.nan, "recipe.optimizer.lr takes a number, not nan"),
        ("recipe.augmentations.transforms", [[[[]]]], r"recipe.augmentations.transforms\[0\] takes"),
    ],
)
def test_a_plan_that_was_edited_beyond_sense_is_refused(place: str, value: Any, message: str, tmp_path: Path) -> None:
    plan = Plan(
        recipe=find("digits"),
        environment=environment.choose("cpu"),
        checkpoints=CheckpointPolicy(),
        workers=0,
        data_sha256="0",
    )
    path = tmp_path / "recipe.json"
    write_plan(path, plan)
    data = json.loads(path.read_text())
    *parents, name = place.split(".")
    inner = data
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    path.write_text(json.dumps(data))
    with pytest.raises(FileError, match=f"recipe.json is damaged: .*{message}"):
        read_plan(path)


def test_what_a_recipe_says_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps(encode(find("digits"))).replace('"batch": 64', '"batch": 64, "batch": 32')
    (tmp_path / "recipe.json").write_text(f'{{"format": 1, "recipe": {text}}}')
    with pytest.raises(FileError, match="'batch' occurs twice"):
        read_plan(tmp_path / "recipe.json")
    assert decode(Recipe, encode(find("digits"))).batch == 64


def test_out_of_memory_is_an_error_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("resnets.experiments.benchmark.training_rate", fail)
    assert main(["benchmark", "cifar_resnet20", "--train"]) == 1
    assert capsys.readouterr().err == "resnets: Out of memory. Use a smaller batch.\n"

    def break_down(*args: object, **more: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("resnets.experiments.benchmark.training_rate", break_down)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main(["benchmark", "cifar_resnet20", "--train"])
