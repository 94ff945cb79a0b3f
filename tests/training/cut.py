"""Runs that end in the middle, without a process of their own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import resnets
from tests.training.runs import arguments


class Cut(BaseException):
    """Ends a run as rudely as an exception can."""


def cut_after(data: Path | str, out: Path, step: int, *more: str, epochs: float = 6, **options: Any) -> None:
    """A run that ends right behind its first event at or after `step`, leaving what was written by then."""
    settings = [a for a in arguments(Path(data), out, *more) if "=" in a]

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= step:
            raise Cut

    options = {"checkpoint_steps": 5, "keep": 3, **options}
    with pytest.raises(Cut):
        resnets.train(
            "paper/cifar", *settings, data=str(data), out=out, epochs=epochs, subscribers=(subscriber,), **options
        )
    wait_for_checkpoints()


def wait_for_checkpoints() -> None:
    """Waits for the writer's thread, which outlives an exception."""
    for thread in threading.enumerate():
        if thread.name == "checkpoint":
            thread.join()
