"""Runs whose head begins as a probe: which rows of the weights it keeps, and a run that unlearns it."""

from __future__ import annotations

from pathlib import Path

import pytest

import resnets
from tests.command_line import COLORS, TINY, call, noisy, write_photos
from tests.training.runs import events
from tests.training.test_probe import PROBED


@pytest.mark.parametrize("named", [False, True])
def test_classes_that_the_weights_know_by_another_name_keep_their_rows(named: bool, tmp_path: Path) -> None:
    settings = (*TINY, PROBED, "epochs=none", "--data")
    first = write_photos(tmp_path / "first", {"train": 16, "val": 4})
    assert call("train", "paper/cifar", "steps=30", *settings, first, "--out", tmp_path / "known").code == 0
    names = {"blue": "blau", "green": "green" if named else "grün", "red": "rot"}
    for folder in [*first.glob("*/*")]:
        folder.rename(folder.with_name(names[folder.name]))
    weights = ("--weights", tmp_path / "known", "optimizer.lr=1e-9", "steps=1")
    result = call("train", "paper/cifar", *weights, *settings, first, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    (fitted,) = [event for event in events(tmp_path / "run") if event["event"] == "probe"]
    known = {own: theirs for theirs, own in names.items() if own != theirs}
    assert fitted["recognized"] == known
    shown = ", ".join(f"{own} as {theirs}" for own, theirs in known.items())
    assert f"The weights know {len(known)} classes by another name: {shown}." in result.out + result.err
    model = resnets.load(tmp_path / "run")
    assert resnets.evaluate(model, data=first).accuracy == 1


def test_a_run_whose_layers_unlearn_what_the_probe_knew_says_so(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", {"train": 40, "val": 40})
    settings = (*TINY, PROBED, "epochs=none", "steps=20", "optimizer.lr=100", "nonfinite=skip", "clip_norm=1")
    result = call("train", "paper/cifar", *settings, "--data", data, "--out", tmp_path / "run")
    warned = [event["message"] for event in events(tmp_path / "run") if event["event"] == "warning"]
    assert len(warned) == 1
    assert "linear probe that the run began with was" in warned[0]
    assert warned[0] in result.err


def test_rows_that_do_not_help_are_not_taken(tmp_path: Path) -> None:
    """The weights answer all of a class with one of theirs, whose row says nothing of the class."""
    first = write_photos(tmp_path / "first", {"train": 16, "val": 4})
    settings = (*TINY, PROBED, "epochs=none", "--data")
    assert call("train", "paper/cifar", "steps=30", *settings, first, "--out", tmp_path / "known").code == 0
    weights = ("--weights", tmp_path / "known", "optimizer.lr=1e-9", "steps=1")
    mixed = tmp_path / "mixed"
    for split in ("train", "val"):
        for number, (name, count) in enumerate({"a": 9, "b": 7}.items()):
            (mixed / split / name).mkdir(parents=True)
            for i in range(16):
                color = "red" if (i < count) == (number == 0) else "blue"
                noisy(COLORS[color], i + 100 * number + 1000 * (split == "val")).save(mixed / split / name / f"{i}.png")
    assert call("train", "paper/cifar", *weights, *settings, mixed, "--out", tmp_path / "run").code == 0
    (fitted,) = [event for event in events(tmp_path / "run") if event["event"] == "probe"]
    assert fitted["recognized"] == {}
