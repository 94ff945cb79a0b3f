"""Which model is the best one, and that the best one is the model of a run that monitors a metric."""

from __future__ import annotations

import json
import math
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import resnets
from resnets.artifacts import model_file
from resnets.cli import main
from resnets.core.config import decode, encode
from resnets.core.errors import FileError, InterruptedRunError, UsageError
from resnets.evaluation.scoring import Scores
from resnets.tasks.classification.settings import Classify
from resnets.training import model_files
from resnets.training.callbacks import CheckpointCallback
from resnets.training.checkpoint import Saved, TrainState
from resnets.training.distributed import Ranks
from resnets.training.evaluate import RunEvaluator
from resnets.training.plan import CheckpointPolicy
from resnets.training.session import Session
from resnets.training.step import Training
from tests.training.cut import Cut, cut_after, wait_for_checkpoints
from tests.training.runs import arguments, curve, events

Figures = tuple[float, float]  # accuracy and loss


def kept_of(evaluations: list[Figures], folder: Path, metric: str = "accuracy", best: Any = None) -> list[Figures]:
    """The evaluations after which the best model was written; the run is cut off and goes on after each of them."""
    kept: list[Figures] = []
    for accuracy, loss in evaluations:
        scores = cast("Scores", SimpleNamespace(metrics={"accuracy": accuracy, "loss": loss}))
        watch = CheckpointCallback(
            cast("Training", SimpleNamespace(ranks=Ranks(), steps_done=0)),
            CheckpointPolicy(monitor=metric),
            folder,
            monitor=next(each for each in Classify.metrics if each.name == metric),
            recipe_sha256="",
            asked=[],
            log_bytes=lambda: 0,
            save_best=lambda scores: kept.append((scores.metrics["accuracy"], scores.metrics["loss"])),
            found=Saved({}, TrainState(step=0, log_bytes=0, seconds=0.0, recipe_sha256="", best=best)),
            unlogged=[],
        )
        watch.after_evaluation(scores)
        state = TrainState(step=0, log_bytes=0, seconds=0, recipe_sha256="", best=watch.best)
        text = json.dumps(encode(state), allow_nan=False)
        best = decode(TrainState, json.loads(text)).best
    return kept


def test_of_equal_models_that_of_lower_loss_is_kept_and_then_the_later(tmp_path: Path) -> None:
    evaluations = [(0.5, 1.0), (0.5, 1.2), (0.5, 0.9), (0.4, 0.1), (0.5, 0.9), (0.6, 3.0), (0.5, 0.1)]
    assert kept_of(evaluations, tmp_path) == [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.6, 3.0)]
    assert kept_of([(0.1, 0.3), (0.9, 0.3), (0.2, 0.4)], tmp_path, "loss") == [(0.1, 0.3), (0.9, 0.3)]


def test_figures_that_are_not_finite_are_no_best_ones(tmp_path: Path) -> None:
    evaluations = [(0.5, math.nan), (0.5, math.inf), (0.5, 1.0), (0.6, math.nan)]
    assert kept_of(evaluations, tmp_path)[-2:] == [(0.5, 1.0), pytest.approx((0.6, math.nan), nan_ok=True)]
    assert kept_of([(0.5, math.nan), (0.5, math.inf), (0.5, 2.0)], tmp_path, "loss") == [(0.5, 2.0)]


def test_a_best_value_that_an_older_version_noted_is_kept(tmp_path: Path) -> None:
    old = decode(TrainState, {"step": 3, "log_bytes": 0, "seconds": 1.5, "recipe_sha256": "", "best": 0.5}).best
    assert kept_of([(0.4, 0.1), (0.5, 2.0), (0.5, 3.0)], tmp_path, best=old) == [(0.5, 2.0)]


def test_without_val_no_model_can_be_picked(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"picks the best model on val, and the data has none, only test.*--val-share 0.2"
    ):
        resnets.train("digits", "steps=1", monitor="loss", out=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r" / "recipe.json").exists()
    run = resnets.train(
        "digits", "steps=1", "epochs=none", "holdout=200", monitor="loss", out=tmp_path / "h", device="cpu"
    )
    assert run.metrics["split"] == "val"


def test_a_figure_that_every_model_has_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="top5 says something of 6 classes or more, and there are 3"):
        resnets.train("paper/cifar", data=str(data), monitor="top5", epochs=1, out=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r").exists()


def trained(data: Path, out: Path, *more: str, **options: Any) -> resnets.Run:
    """A run of 60 steps whose best evaluation by accuracy is not the last one."""
    settings = [a for a in arguments(data, out, *more) if "=" in a]
    options = {"checkpoint_steps": 5, "keep": 3, "epochs": 6, **options}
    return resnets.train("paper/cifar", *settings, data=str(data), out=out, **options)


def chosen(run: Path, metric: str = "accuracy") -> dict[str, Any]:
    """The evaluation in the log that the best model is of; of equal ones that of lower loss, then the later."""
    sign = -1 if metric == "loss" else 1
    evaluations = enumerate(e for e in events(run) if e["event"] == "evaluation")
    return max(evaluations, key=lambda each: (sign * each[1][metric], -each[1]["loss"], each[0]))[1]


def metrics_of(path: Path) -> tuple[float, float]:
    metrics = resnets.load(path).card.metrics
    return metrics["accuracy"], metrics["loss"]


def shas(run: Path) -> dict[str, str]:
    """The weights of each model in the folder of a run."""
    return {path.name: resnets.describe(path).weights_sha256 or "" for path in run.glob("*.safetensors")}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that monitors its accuracy."""
    out = tmp_path_factory.mktemp("whole") / "r"
    trained(data, out, monitor="accuracy")
    return out


def test_the_model_of_a_run_is_the_best_one_and_the_last_lies_beside_it(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    plain = trained(data, tmp_path / "plain")
    last = events(whole)[-2]
    best = chosen(whole)
    assert (last["event"], events(whole)[-1]["event"]) == ("evaluation", "end")
    assert best["step"] < last["step"]
    assert not (plain.folder / "last.safetensors").exists()
    assert shas(whole)["last.safetensors"] == shas(plain.folder)["model.safetensors"]
    assert shas(whole)["model.safetensors"] == shas(whole)["best.safetensors"] != shas(whole)["last.safetensors"]
    assert metrics_of(whole / "model.safetensors") == (best["accuracy"], best["loss"])
    assert metrics_of(whole / "last.safetensors") == (last["accuracy"], last["loss"])
    scores = resnets.evaluate(whole, device="cpu")
    assert (scores.accuracy, scores.loss) == (best["accuracy"], best["loss"])
    assert f"{best['accuracy']:.2%}" in (whole / "report.html").read_text()


def test_what_a_monitored_run_returns_and_prints_is_of_its_model(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = arguments(data, tmp_path / "r", "--monitor", "accuracy", "--checkpoint-steps", "5")
    assert main([*argv, "--json"]) == 0
    best = chosen(tmp_path / "r")
    assert json.loads(capsys.readouterr().out)["accuracy"] == best["accuracy"]
    assert shas(tmp_path / "r") == shas(whole)
    again = resnets.resume(whole)
    assert again.was_finished
    assert (again.metrics["accuracy"], again.metrics["loss"]) == (best["accuracy"], best["loss"])


@pytest.mark.parametrize(
    ("moment", "settings"),
    [
        pytest.param("last", (), marks=pytest.mark.slow),
        pytest.param("model", (), marks=pytest.mark.slow),
        ("model", ("score_training=true", "precise_bn=24")),
        pytest.param("report", (), marks=pytest.mark.slow),
        ("end", ()),
    ],
)
def test_killed_between_the_files_of_its_end_a_run_ends_in_the_same(
    moment: str, settings: tuple[str, ...], data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(data, tmp_path / "expected", *settings, monitor="accuracy").folder if settings else whole
    saved = model_file.save

    def save(path: Path, *arguments: Any) -> None:
        if path.name == f"{moment}.safetensors":
            raise Cut
        saved(path, *arguments)

    def cut(*arguments: Any, **named: Any) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(model_file, "save", save)
        if moment == "report":
            patched.setattr(model_files, "write_report", cut)
        if moment == "end":
            patched.setattr(Session, "_end", cut)
        with pytest.raises(Cut):
            trained(data, tmp_path / "r", *settings, monitor="accuracy")
    wait_for_checkpoints()
    run = resnets.resume(tmp_path / "r")
    assert not run.was_finished
    assert run.metrics == resnets.resume(expected).metrics
    assert curve(tmp_path / "r") == curve(expected)
    assert shas(tmp_path / "r") == shas(expected)
    for name in ("model", "last", "best"):
        paths = [folder / f"{name}.safetensors" for folder in (tmp_path / "r", expected)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_asked_to_stop_while_the_best_model_is_evaluated_it_does_that_on_resume(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_after(data, tmp_path / "r", 50, monitor="accuracy")
    evaluate = RunEvaluator.weights

    def signalled(*arguments: Any) -> Scores:
        signal.raise_signal(signal.SIGTERM)
        return evaluate(*arguments)

    assert chosen(tmp_path / "r")["step"] < 50
    with monkeypatch.context() as patched:
        patched.setattr(RunEvaluator, "weights", signalled)
        with pytest.raises(InterruptedRunError, match="Step 60 is saved"):
            resnets.resume(tmp_path / "r")
    assert not (tmp_path / "r" / "model.safetensors").exists()
    run = resnets.resume(tmp_path / "r")
    assert run.metrics["accuracy"] == chosen(whole)["accuracy"]
    assert shas(tmp_path / "r") == shas(whole)
    assert curve(tmp_path / "r") == curve(whole)


def test_an_extension_goes_on_from_the_last_model_and_chooses_again(data: Path, whole: Path, tmp_path: Path) -> None:
    monitored = Path(shutil.copytree(whole, tmp_path / "monitored"))
    plain = trained(data, tmp_path / "plain")
    for run in (monitored, plain.folder):
        resnets.resume(run, epochs="+1")
    assert curve(monitored) == curve(plain.folder)
    assert shas(monitored)["last.safetensors"] == shas(plain.folder)["model.safetensors"]
    best = chosen(monitored)
    assert metrics_of(monitored / "model.safetensors") == (best["accuracy"], best["loss"])
    (monitored / "last.safetensors").unlink()
    with pytest.raises(FileError, match=r"last\.safetensors is gone, and an extension goes on from it"):
        resnets.resume(monitored, epochs="+1")


def test_a_run_that_an_older_version_ended_is_extended_from_its_model(data: Path, whole: Path, tmp_path: Path) -> None:
    """Up to version 0.2, model.safetensors was the last model and the best one lay beside it."""
    new, old = (Path(shutil.copytree(whole, tmp_path / name)) for name in ("new", "old"))
    (old / "last.safetensors").rename(old / "model.safetensors")
    assert resnets.resume(old).metrics["accuracy"] == events(old)[-2]["accuracy"]
    for run in (new, old):
        resnets.resume(run, epochs="+1")
    assert shas(old) == shas(new)


def test_without_its_best_model_a_run_ends_with_the_last_and_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 50, monitor="accuracy")
    damaged = out / "best.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"best\.safetensors .* Put a copy back and resume"):
        resnets.resume(out)
    damaged.unlink()
    capsys.readouterr()
    run = resnets.resume(out)
    assert "best.safetensors is gone" in capsys.readouterr().err
    assert resnets.resume(out).was_finished
    assert run.metrics["accuracy"] == [e for e in events(out) if e["event"] == "evaluation"][-1]["accuracy"]
    assert shas(out)["model.safetensors"] == shas(out)["last.safetensors"]
