"""`--unknown-below` and `--accuracy`: answers that are withheld, from training to the answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

import resnets
from resnets.cli import main
from resnets.commands.training_run import Run
from resnets.core.errors import UsageError

SHORT = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "batch=64")


def trained(folder: Path, **settings: Any) -> Run:
    return resnets.train("digits", *SHORT, epochs=6, device="cpu", seed=0, out=folder, **{"val_share": 0.3} | settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("unknown") / "run", accuracy=0.97)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    for number, image in enumerate(sklearn.datasets.load_digits().images[:60]):
        Image.fromarray((image * 15.9375).astype(np.uint8)).save(folder / f"{number:03}.png")
    return folder


def test_the_threshold_is_chosen_on_val_and_kept_in_the_model(run: Run) -> None:
    assert run.metrics["split"] == "val"
    assert run.metrics["answered_accuracy"] >= 0.97 > run.metrics["accuracy"]
    assert 0 < run.metrics["coverage"] < 1
    settings: Any = resnets.load(run).card.settings
    assert settings.unknown_below == run.metrics["unknown_below"]
    assert settings.temperature == run.metrics["temperature"] != 1
    again = resnets.evaluate(run, split="val", device="cpu").summary()
    assert again == {name: value for name, value in run.metrics.items() if name in again}
    confidence, right = _records(resnets.evaluate(run, split="test", device="cpu"))
    answered = confidence >= settings.unknown_below
    assert run.metrics["test"]["coverage"] == answered.mean()
    assert run.metrics["test"]["answered_accuracy"] == right[answered].mean()


def _records(scores: Any) -> tuple[Any, Any]:
    records = scores.records
    return records["confidence"].astype(np.float64), records["label"] == records["predicted"]


def test_predictions_say_what_is_unknown(run: Run, images: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["predict", str(run.folder), str(images), "--json", "--quiet"]) == 0
    answers = json.loads(capsys.readouterr().out)["predictions"]
    threshold = run.metrics["unknown_below"]
    assert [each["unknown"] for each in answers] == [each["classes"][0]["probability"] < threshold for each in answers]
    assert len({each["unknown"] for each in answers}) == 2

    out = tmp_path / "answers.csv"
    unknown = ["predict", str(run.folder), str(images), "--unknown-below", "1", "--quiet"]
    assert main(unknown) == 0
    assert capsys.readouterr().out.count("unknown  (no class has 100.00%)") == len(answers)
    assert main([*unknown, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"answers {out}: {len(answers)} inputs\n"
    with open(out, newline="") as file:
        assert {row["unknown"] for row in csv.DictReader(file)} == {"True"}
    assert main(["predict", str(run.folder), str(images), "--unknown-below", "0", "--quiet"]) == 0
    assert "unknown" not in capsys.readouterr().out


def test_evaluate_takes_another_threshold_and_writes_it(run: Run, tmp_path: Path, capsys: Any) -> None:
    arguments = ["evaluate", str(run.folder), "--device", "cpu", "--unknown-below", "0.6", "--out", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unknown_below"] == 0.6
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert np.mean([row["unknown"] == "False" for row in rows]) == found["coverage"]
    assert "sure or more" in (tmp_path / "report.html").read_text()
    assert main(arguments) == 0
    assert "coverage" in capsys.readouterr().out


def test_an_ensemble_has_neither_the_temperature_nor_the_threshold_of_its_first(run: Run) -> None:
    alone, twice = (resnets.evaluate(*models, split="val", device="cpu") for models in ((run,), (run, run)))
    assert alone.metrics["ece_uncalibrated"] == pytest.approx(twice.metrics["ece"], abs=1e-6)
    assert not {"temperature", "coverage"} & twice.metrics.keys()
    given = resnets.evaluate(run, run, split="val", device="cpu", unknown_below=0.5)
    assert given.metrics["unknown_below"] == 0.5


def test_a_resumed_run_has_the_same_threshold(run: Run, tmp_path: Path) -> None:
    longer = resnets.resume(trained(tmp_path / "short", accuracy=0.97), epochs="+1")
    assert longer.metrics["answered_accuracy"] >= 0.97
    assert longer.metrics["unknown_below"] != run.metrics["unknown_below"]
    again = resnets.evaluate(longer, split="val", device="cpu").metrics
    assert (again["coverage"], again["ece"]) == (longer.metrics["coverage"], longer.metrics["ece"])


def test_a_given_threshold_needs_no_val(tmp_path: Path) -> None:
    found = trained(tmp_path / "run", val_share=0, unknown_below=0.9).metrics
    assert found["unknown_below"] == 0.9
    assert "temperature" not in found


def test_an_accuracy_that_no_threshold_reaches_is_said_in_words(tmp_path: Path, capsys: Any) -> None:
    g = np.random.default_rng(0)
    images, labels = g.integers(0, 256, (120, 8, 8), dtype=np.uint8), g.integers(0, 4, 120)  # nothing can be learnt
    data = {"train": (images[:60], labels[:60]), "val": (images[60:], labels[60:]), "test": (images[:50], labels[:50])}
    run = resnets.train("digits", *SHORT, data=data, epochs=1, device="cpu", accuracy=0.995, out=tmp_path / "run")
    assert (run.metrics["unknown_below"], run.metrics["coverage"]) == (1.0, 0.0)
    said = "No threshold has 99.50% of the answers right on val, "
    assert said in capsys.readouterr().err
    page = run.report.read_text()
    assert said in page
    confidence, right = _records(resnets.evaluate(run, data=data, split="val", device="cpu"))
    best = max(right[confidence >= threshold].mean() for threshold in confidence)
    assert f"{said}{best:.2%} at most. So the model answers nothing (unknown_below is 1)" in page
    less = float(np.floor(1000 * best)) / 1000
    assert f"ask for less, such as --accuracy {less:g}" in page
    (note,) = resnets.evaluate(run, data=data, split="test", device="cpu").notes
    assert note == "The model answers no sample of test: no threshold had 99.50% of the answers right on val."
    again = resnets.train("digits", *SHORT, data=data, epochs=1, device="cpu", accuracy=less, out=tmp_path / "again")
    assert again.metrics["coverage"] > 0


def test_a_given_threshold_that_nothing_reaches_is_said_too(run: Run, capsys: Any) -> None:
    assert main(["evaluate", str(run.folder), "--device", "cpu", "--unknown-below", "1", "--split", "test"]) == 0
    shown = capsys.readouterr().out
    assert "No sample of test has a probability of 100.00%: the model answers none (--unknown-below)." in shown


def test_what_cannot_be_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chosen on val, and the data has none, only test"):
        trained(tmp_path / "a", val_share=0, accuracy=0.99)
    with pytest.raises(UsageError, match="give one of them"):
        trained(tmp_path / "b", accuracy=0.99, unknown_below=0.5)
    with pytest.raises(UsageError, match="from 0 to 1"):
        resnets.evaluate(run, unknown_below=1.5, device="cpu")
    with pytest.raises(UsageError, match="classification alone, not in regression"):
        resnets.train("digits", "task=Regress", unknown_below=0.5, out=tmp_path / "c")
    assert not list(tmp_path.iterdir())
