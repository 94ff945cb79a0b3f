"""`resnets predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.commands.arguments import check_path, check_range, device_for, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.predictions import FILES, Answers, check_out
from resnets.core.console import say
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.signatures import checked_arguments
from resnets.core.units import show_count
from resnets.core.workers import MAX_WORKERS

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
    from resnets.modalities.given import Given
else:
    trained = LazyModule("resnets.artifacts.model")


class Predictions(list[Any]):
    """The answers of `predict`, a list with one for each input; None for those that could not be read.

    Attributes:
        found: the same with what is known of the inputs.
    """

    def __init__(self, found: Answers) -> None:
        super().__init__(found.answers)
        self.found = found


@checked_arguments
@can_be_quiet
def predict(
    model: str | PathLike[str] | trained.Model,
    /,
    *images: Any,
    top: int = 5,
    tta: str | None = None,
    out: str | PathLike[str] | None = None,
    device: str = "cpu",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> list[Any]:
    """Predict what is in images or recordings of any size.

    Args:
        model: a model file or a run folder; in Python also a Run or a Model.
        images: files, folders of them, or globs in quotes; in Python also what `Model.predict` takes, and lists and
            iterators of it.
        top: number of classes to show, where they are ranked.
        tta: test-time augmentation (see evaluate; default: as in the model's recipe).
        out: a .csv, .json or .parquet file for the answers; or a folder, for predictions.json and the files of each
            answer, such as masks.
        device: auto, cpu, cuda or mps.
        runtime: torch; or, on the CPU, folded (batch norm folded into the convolutions), compiled, openvino or
            onnxruntime. The converted model is cached beside the model file.
        precision: auto (bf16 where runtime and processor support it, else fp32), fp32, bf16 or int8.
        calibrate: images to calibrate int8 on: a folder or a dataset (default: the training data).
        workers: threads that decode images; the result does not depend on it (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        For each input the answer of the model's task; of a classifier its `top` classes with their probabilities, the
        most probable first.

    Raises:
        PredictionError: if some inputs cannot be read; the exception has the predictions for all others.
        DataError: if a folder or a glob has no inputs of the model.

    Example:
        resnets.predict(run, "seven.png", top=3)  # [[("7", 0.98), ("1", 0.01), ("9", 0.01)]]
    """
    check_range("workers", workers, 0, MAX_WORKERS)
    check_out(None if out is None else Path(out))
    from resnets.artifacts.inputs import expand
    from resnets.artifacts.model import Model, load
    from resnets.modalities.given import given_inputs

    if not isinstance(model, Model):
        check_path(model)
    if not images:
        raise UsageError("Give at least one image.")
    name = str(model.file if isinstance(model, Model) else model)
    if not isinstance(model, Model):
        model = load(model, device_for(runtime, device), runtime=runtime, precision=precision, calibrate=calibrate)
    model.check_tta(tta)
    expanded = partial(expand, settings=model.card.preprocessing)
    inputs = given_inputs(expanded(images), model.card.preprocessing.modality, lambda path: expanded([path]))
    kept: list[Any] = []
    answers: list[Any] = []
    failed: dict[int, DataError] = {}
    keeps = out is not None and Path(out).suffix.lower() not in FILES  # a folder gets files with the images in them
    noun = model.card.preprocessing.noun
    with threads_for(model.card, runtime), progress_line() as line:
        for input_name, answer in model.answers(_collected(inputs, kept) if keeps else inputs, top, None, workers, tta):
            if isinstance(answer, DataError):
                failed[len(answers)] = answer
            answers.append(None if isinstance(answer, DataError) else answer)
            if not keeps:
                kept.append(input_name)
            line(f"predict  {show_count(len(answers), noun)}")
    found = Answers(model.card, kept, answers, failed)
    if out is not None:
        found.write(Path(out), name, runtime)
    predictions = Predictions(found)
    if found.failed:
        raise PredictionError(predictions, found.failed)
    return predictions


def _collected(inputs: Iterable[Given], kept: list[Any]) -> Iterator[Given]:
    """`inputs`, each appended to `kept` when it is asked for."""
    for each in inputs:
        kept.append(each)
        yield each


def _answer(invocation: Invocation) -> Answer:
    given = invocation.arguments
    try:
        predictions: Predictions = invocation.call()
    except PredictionError as error:
        predictions = cast("Predictions", error.predictions)
        if not given.json:
            say(*(f"resnets: {reason}" for reason in error.failed.values()), stream=sys.stderr)
    found = predictions.found
    return Answer(found.lines(), found.data(given.model, given.runtime), failed=bool(found.failed))


COMMAND = Command(predict, _answer, python_only=("quiet",))
