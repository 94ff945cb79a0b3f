"""`resnets predict`."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.commands.answering import Answering
from resnets.commands.arguments import check_path, check_range, input_size, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.given_inputs import open_inputs, with_standard_input
from resnets.commands.predictions import Answers, answers_file, check_out, name_of
from resnets.commands.unfinished import Unfinished, remove
from resnets.core.console import common_progress, note, say
from resnets.core.errors import PredictionError, UsageError
from resnets.core.files import sha256_of
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.signatures import checked_arguments
from resnets.core.workers import MAX_WORKERS

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
    from resnets.training.distributed import Ranks
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
    size: int | tuple[int, int] | str | None = None,
    unknown_below: float | None = None,
    min_score: float | None = None,
    draw_score: float | None = None,
    max_boxes: int | None = None,
    tile: int | None = None,
    overlap: float = 0.2,
    out: str | PathLike[str] | None = None,
    device: str = "cpu",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> list[Any]:
    """Predict what is in images or recordings of any size.

    Under torchrun the ranks share the files, and rank 0 answers.

    Args:
        model: a model file or a run folder; in Python also a Run or a Model.
        images: files, folders of them, or globs in quotes; - is a list of paths on standard input, with a line break or
            NUL after each, as is no image where input is piped. In Python also what `Model.predict` takes, and lists
            and iterators of it.
        top: number of classes to show, where they are ranked.
        tta: test-time augmentation (see evaluate; default: as in the model's recipe).
        size: WIDTHxHEIGHT in pixels to which images are brought, or one number for a square; in Python also (height,
            width) (default: the model's own).
        unknown_below: probability from 0 to 1 below which a classifier's answer is unknown (default: the model's own,
            if it has one).
        min_score: of boxes, the score from 0 to 1 that an answer has at least (default: the model's own, 0.05).
        draw_score: of boxes, the score from which they are printed and drawn (default: the threshold of each class,
            where the model has chosen them, else 0.5).
        max_boxes: boxes that an image has at most, those with the highest scores (default: the model's own, 100, of
            RetinaNet 300; with `tile` as many of each tile).
        tile: pixels of the sides of square tiles, which the network sees in place of a large image, and whose boxes are
            joined; objects should be as large in them as in the images of training (default: whole images).
        overlap: share of its side that a tile has in common with the next; an object no larger is whole in a tile.
        out: a .csv, .json or .parquet file, or a folder, for predictions.json and the files of each answer, such as
            masks; the command line then prints only how many inputs were answered. A command goes on where it was
            interrupted, when it is given again; what it answered lies beside the file, as FILE.unfinished.
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
    pixels = None if size is None else input_size(size)
    from resnets.artifacts.model import Model
    from resnets.artifacts.size import note_on_size
    from resnets.evaluation.tiles import Tiles
    from resnets.tasks.box_limits import with_box_limits
    from resnets.tasks.unknown import with_threshold
    from resnets.training.agreement import require_equal

    if not isinstance(model, Model):
        check_path(model)
    if not images:
        raise UsageError("Give at least one image.")
    given = isinstance(model, Model)
    settings = {
        "top": top, "tta": tta, "size": pixels, "runtime": runtime, "precision": precision, "device": device,
        "min_score": min_score, "max_boxes": max_boxes, "tile": tile, "overlap": overlap,
    }  # fmt: skip
    with _sharing_ranks(device) as (ranks, own_device):
        require_equal(ranks, {**settings, "device": None, "unknown_below": unknown_below})
        loaded, inputs, total = open_inputs(model, images, ranks, own_device, runtime, precision, calibrate, pixels)
        card = loaded.card
        limited = with_box_limits(
            with_threshold(card.settings, unknown_below), len(card.classes), min_score=min_score,
            draw_score=draw_score, max_boxes=max_boxes,
        )  # fmt: skip
        loaded = replace(loaded, card=replace(card, settings=limited))
        if pixels is not None and ranks.is_main:
            note(note_on_size(loaded.card))
        loaded.check_tta(tta)
        tiles = None if tile is None else Tiles(tile, overlap)
        file = None if out is None else answers_file(Path(out))
        unfinished = None
        if file is not None and not given and loaded.file is not None:
            settings |= {"model": sha256_of(loaded.file), "calibrate": None if calibrate is None else str(calibrate)}
            unfinished = Unfinished(file, loaded.card, settings, rank=ranks.rank)
        ranks.barrier()  # each has read what all had written
        keeps = out is not None and file != Path(out)  # a folder gets files with the images in them
        with (
            threads_for(loaded.card, runtime),
            progress_line(shown=ranks.is_main) as line,
            contextlib.closing(unfinished) if unfinished is not None else contextlib.nullcontext(),
        ):
            answering = Answering(
                model=loaded, top=top, tta=tta, workers=workers, keeps=keeps, unfinished=unfinished, ranks=ranks,
                line=line, size=pixels, tiles=tiles,
            )  # fmt: skip
            found = answering.run(inputs, total)
        if out is not None and file is not None and ranks.is_main:
            found.write(Path(out), str(loaded.file if given else model), runtime)
            remove(file)
    predictions = Predictions(found)
    if found.failed:
        raise PredictionError(predictions, found.failed, [name_of(each) for each in found.inputs])
    return predictions


def _sharing_ranks(device: str) -> contextlib.AbstractContextManager[tuple[Ranks, str]]:
    """Context manager that gives the ranks that share the inputs, and the device of this one.

    A program that has connected its ranks itself, such as one that trains, predicts in each rank by itself.
    """
    from torch import distributed

    from resnets.training.distributed import Ranks, process_group

    if distributed.is_available() and distributed.is_initialized():
        return contextlib.nullcontext((Ranks(), device))
    return process_group(device)


def _answer(invocation: Invocation) -> Answer:
    from resnets.training.distributed import is_main

    given = invocation.arguments
    given.images = with_standard_input(given.images)
    try:
        with common_progress():
            predictions: Predictions = invocation.call()
    except PredictionError as error:
        predictions = cast("Predictions", error.predictions)
        if not given.json and is_main():
            say(*(f"resnets: {reason}" for reason in error.failed.values()), stream=sys.stderr)
    if not is_main():  # of several ranks, rank 0 answers
        return Answer()
    found = predictions.found
    lines = found.lines() if given.out is None else [found.summary(given.out)]
    return Answer(lines, found.data(given.model, given.runtime), failed=bool(found.failed))


COMMAND = Command(predict, _answer, python_only=("quiet",))
