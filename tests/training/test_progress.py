"""The lines that a person reads while a run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from resnets.training.progress import greeting


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
