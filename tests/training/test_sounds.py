"""Runs on recordings: by the data alone, with any workers, cut off and resumed, evaluated and used to predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import resnets
from resnets.cli import main
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.evaluation.scoring import Scores
from tests.conftest import truncate, write_tree
from tests.modalities.audio.sounds import write, write_classes
from tests.training.cut import Cut, wait_for_checkpoints
from tests.training.runs import curve, events, run_resnets, sha_of

SMALL = (
    "model.depths=[1,1]",
    "model.widths=[8,16]",
    "model.stem_width=8",
    "batch=6",
    "bn_batch=3",
    "preprocessing.seconds=0.4",
)


def train(data: Path, out: Path, *overrides: str, **options: Any) -> Any:
    return resnets.train("audio/logmel", *SMALL, *overrides, data=str(data), out=out, epochs=3, device="cpu", **options)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of a tone each."""
    counts = {f"{split}/{name}": count for split, count in (("train", 6), ("val", 3)) for name in ("a", "b", "c")}
    return write_classes(tmp_path_factory.mktemp("sounds"), counts, rate=11025)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine steps that nothing interrupts, without workers."""
    return Path(train(data, tmp_path_factory.mktemp("runs") / "whole", workers=0).folder)


def test_a_folder_of_recordings_chooses_its_recipe(data: Path, tmp_path: Path) -> None:
    run = resnets.train(*SMALL, data=str(data), out=tmp_path / "r", epochs=1, device="cpu")
    recipe = json.loads((run.folder / "recipe.json").read_text())["recipe"]
    assert recipe["name"] == "audio/logmel"
    assert recipe["preprocessing"]["kind"] == "LogMel"
    assert recipe["model"]["channels"] == 1


def test_workers_change_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "r", workers=2)
    assert sha_of(run.folder) == sha_of(whole)
    assert curve(run.folder) == curve(whole)


def test_a_run_that_was_cut_off_goes_on_bit_for_bit(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 5:
            raise Cut

    with pytest.raises(Cut):
        train(data, out, checkpoint_steps=2, subscribers=(subscriber,))
    wait_for_checkpoints()
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)
    assert curve(out) == curve(whole)


@pytest.mark.slow
def test_two_ranks_train_on_the_batches_of_one(data: Path, whole: Path, tmp_path: Path) -> None:
    argv = ["train", "audio/logmel", *SMALL, "--data", str(data), "--out", str(tmp_path / "r"), "--epochs", "3"]
    code, _, err = run_resnets([*argv, "--device", "cpu"], ranks=2)
    assert code == 0, err
    losses = [[e["loss"] for e in events(run) if e["event"] == "step"] for run in (tmp_path / "r", whole)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_evaluate_gives_what_training_did_and_writes_a_report(data: Path, whole: Path, tmp_path: Path) -> None:
    last = next(e for e in reversed(events(whole)) if e["event"] == "evaluation")
    scores: Scores = resnets.evaluate(whole, out=tmp_path / "e")
    assert scores.metrics["accuracy"] == last["accuracy"]
    assert scores.metrics["loss"] == pytest.approx(last["loss"], rel=1e-6)
    page = (tmp_path / "e" / "report.html").read_text()
    assert "0.4 s at 8,000 Hz, 40 mel filters every 10 ms" in page
    assert "Map of the samples" in page
    assert "By size" not in page  # a spectrogram is no image that was taken
    assert "By brightness" not in page
    wrong = round(9 * (1 - last["accuracy"]))
    assert page.count("data:image/") >= wrong > 0  # the spectrograms of the errors


def test_predictions_are_those_of_evaluate_for_paths_bytes_and_samples(data: Path, whole: Path) -> None:
    model = resnets.load(whole)
    path = data / "val" / "a" / "0.wav"
    of_path = model.predict(path)
    assert model.predict(path.read_bytes()) == of_path
    samples, rate = soundfile.read(path)
    assert model.predict((samples, rate)) == of_path


def test_sounds_in_memory_are_read_whatever_they_are_given_in(data: Path, whole: Path) -> None:
    model = resnets.load(whole)
    path = data / "val" / "a" / "0.wav"
    expected = model.predict(path)
    samples, rate = soundfile.read(path)
    both = np.stack([samples, samples])
    given: list[Any] = [
        path.open("rb"), (samples.astype(np.float32), np.int64(rate)), (rate, samples),
        (torch.from_numpy(samples), rate), (both, rate), (both.T, float(rate)), [samples, rate],
    ]  # fmt: skip
    for each in given:
        (name, probability), *_ = model.predict(each)
        assert (name, probability) == (expected[0][0], pytest.approx(expected[0][1], rel=1e-5))
    pairs = [(samples, rate), (samples[::-1], rate), (samples, rate // 2)]
    answers = model.predict_many(pairs)
    assert resnets.predict(model, iter(pairs)) == resnets.predict(model, pairs) == answers
    assert answers[0] != answers[2]
    with pytest.raises(UsageError, match=r"a pair \(samples, rate in Hz\), not numpy.ndarray"):
        model.predict(samples)


def test_a_bad_input_is_named_and_the_others_are_answered(data: Path, whole: Path, tmp_path: Path) -> None:
    silent = write(tmp_path / "none.wav", np.zeros(0))
    with pytest.raises(PredictionError, match=r"none\.wav holds no samples") as caught:
        resnets.load(whole).predict_many([data / "val" / "a" / "0.wav", silent])
    assert caught.value.predictions[0] is not None


def test_what_averages_crops_is_refused(data: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="flip"):
        resnets.evaluate(whole, tta="flip")
    with pytest.raises(UsageError, match="tta=flip is not for inputs of LogMel: choose from center"):
        train(data, tmp_path / "r", "tta=flip")


def test_damaged_recordings_are_named_refused_or_left_out(data: Path, tmp_path: Path) -> None:
    root = write_classes(tmp_path / "sounds", {"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 2})
    damaged = truncate(root / "train" / "a" / "1.wav")
    with pytest.raises(DataError, match=r"is truncated") as caught:
        train(root, tmp_path / "r")
    assert str(damaged) in str(caught.value)
    run = train(root, tmp_path / "r", "damaged=exclude")
    assert run.metrics["samples"] == 4


def test_recipes_for_images_and_for_sounds_refuse_the_other(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds recordings, and the recipe digits is for images"):
        resnets.train("digits", data=str(data), out=tmp_path / "r")
    images = write_tree(tmp_path / "images", {"train/a": 3, "train/b": 3, "val/a": 1})
    with pytest.raises(DataError, match="holds images, and the recipe audio/logmel is for recordings"):
        train(images, tmp_path / "r")


def test_the_notes_say_what_is_done_to_recordings(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", "audio/logmel", *SMALL, "--data", str(data), "--out", str(tmp_path / "r"), "--epochs", "1"]
    assert main(argv) == 0
    output = "".join(capsys.readouterr())
    assert "18 of 18 train recordings have another rate than 8,000 Hz and are resampled." in output
    assert "9 of 9 val recordings have another rate" in output


def test_the_gallery_shows_spectrograms(data: Path) -> None:
    from resnets.modalities.catalog import open_dataset
    from resnets.modalities.inputs import open_reader
    from resnets.recipes.catalog import find

    image = open_reader(find("audio/logmel").preprocessing).thumbnail(open_dataset(str(data)).train, 0)
    assert isinstance(image, Image.Image)
