"""The lines that a person reads while a run goes on."""

from __future__ import annotations

import io
from typing import Any

import pytest

from resnets.training.live_progress import Live
from resnets.training.progress import Plain
from resnets.training.progress_lines import evaluation_line, greeting, headline_of, noun_of


def start(**changed: Any) -> dict[str, Any]:
    environment = {
        "device": "cpu", "hardware": "some CPU", "threads": 2, "precision": "fp32", "layout": "channels_last",
    }  # fmt: skip
    event = {
        "event": "start", "recipe": "digits", "parameters": 1234, "train_samples": 1437, "test_samples": 360,
        "steps": 920, "epochs": 40.0, "notes": [],
    }  # fmt: skip
    environment |= {key: changed.pop(key) for key in environment.keys() & changed}
    return event | changed | {"environment": environment}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"threads": 1}, "1 thread,"),
        ({"threads": 2}, "2 threads,"),
        ({"steps": 1, "epochs": 1.0}, "1 step (1 epoch)"),
        ({"steps": 2000}, "2,000 steps (40 epochs)"),
        ({"train_samples": 1}, "1 image to train on"),
        ({"train_samples": 50000}, "50,000 images to train on"),
    ],
)
def test_one_thing_is_not_called_by_its_plural(changed: dict[str, Any], text: str) -> None:
    assert text in "\n".join(greeting(start(**changed)))


def test_the_data_is_said_where_the_log_has_it() -> None:
    line = "data  photos: image folders, 10 classes, train 9,469, val 500"
    lines = greeting(start(data=line, notes=["n"]))
    assert lines == [*greeting(start()), line, "Note: n"]


def test_a_run_of_an_earlier_version_is_one_of_classification() -> None:
    assert headline_of({}).name == "accuracy"
    assert noun_of({}) == "image"


@pytest.mark.parametrize(
    ("task", "value", "shown"),
    [
        ("classification", 0.5, "val accuracy  50.00%"),
        ("segmentation", 0.123456, "val miou  12.35%"),
        ("regression", 12.34567, "val mae   12.35"),
        ("multi-label", None, "val map       -"),
    ],
)
def test_an_evaluation_shows_the_first_metric_of_its_task(task: str, value: float | None, shown: str) -> None:
    begun = start(task=task, noun="recording")
    headline = headline_of(begun)
    event = {"event": "evaluation", "step": 5, "epoch": 1.0, "loss": 2.0, "split": "val", headline.name: value}
    line = evaluation_line(event, 1234.5, headline, noun_of(begun))
    assert shown in line
    assert line.endswith("val loss 2.0000  1,234 recordings/s")


def test_a_loss_over_nothing_is_shown_as_such() -> None:
    event = {"event": "evaluation", "step": 5, "epoch": 1.0, "loss": None, "split": "val", "miou": None}
    assert "val miou       -  val loss -  " in evaluation_line(
        event, 1.0, headline_of(start(task="segmentation")), "image"
    )


@pytest.mark.parametrize("kind", [Plain, Live])
def test_both_kinds_of_progress_show_a_run_of_any_task(kind: Any) -> None:
    stream = io.StringIO()
    with kind(stream) as progress:
        progress(start(task="regression", noun="recording", split="val"))
        progress({"event": "step", "step": 920, "epoch": 40.0, "loss": 1.5, "lr": 0.1, "images_per_second": 10.0})
        progress({"event": "evaluation", "step": 920, "epoch": 40.0, "loss": 1.25, "mae": 3.21, "split": "val"})
    assert "1,437 recordings to train on" in stream.getvalue()
    assert "3.21" in stream.getvalue()
    assert "recordings/s" in stream.getvalue()
