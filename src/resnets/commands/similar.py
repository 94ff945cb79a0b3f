"""`resnets similar`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from resnets.commands.arguments import check_range, input_size, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.data_in_memory import DataInMemory, takes_data_in_memory
from resnets.commands.data_of_model import open_data
from resnets.commands.given_inputs import call_on_inputs, open_layers
from resnets.commands.predictions import FILES, check_out, write_file
from resnets.core.console import note, printable
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.signatures import checked_arguments
from resnets.core.units import show_count
from resnets.core.workers import MAX_WORKERS, default_workers

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
    from resnets.modalities.base import Dataset
else:
    trained = LazyModule("resnets.artifacts.model")

MOST = 1000  # images that are found for an input


@checked_arguments
@can_be_quiet
@takes_data_in_memory
def similar(
    model: str | PathLike[str] | trained.Model,
    /,
    *images: Any,
    data: str | Path | DataInMemory | None = None,
    format: str | None = None,
    split: Literal["train", "val", "test", "all"] | None = None,
    top: int = 5,
    size: int | tuple[int, int] | str | None = None,
    out: str | PathLike[str] | None = None,
    device: str = "cpu",
    workers: int | None = None,
    quiet: bool = False,
) -> list[dict[str, Any] | None]:
    """Find the images of a dataset that are most like others.

    Likeness is the cosine of the angle between the features that the classifier gets, from -1 to 1.

    Args:
        model: a model file or a run folder; in Python also a Run or a Model.
        images: what `predict` takes: files, folders of them, globs in quotes, or - for a list on standard input.
        data: in which others are looked for: a dataset or folder (default: what the model was trained on).
        format: of the data, where two fit: folders, csv, jsonl, masks, voc, coco, yolo or webdataset (default: found by
            looking).
        split: train, val, test, or all of a folder of classes (default: train, else all).
        top: number of images that are found for each.
        size: WIDTHxHEIGHT in pixels to which images are brought, or one number for a square; in Python also (height,
            width) (default: the model's own).
        out: a .csv, .json or .parquet file.
        device: auto, cpu, cuda or mps.
        workers: threads that decode images; the result does not depend on it (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        For each input its name and the nearest images, the most similar first: path, label (where the data has classes)
        and similarity.

    Raises:
        PredictionError: if some inputs cannot be read; `error.predictions` has the answers for all others.
        UsageError: if there is no such split, or it is not known what the model was trained on.
        DataError: if the data is missing, or is of another modality or task than the model.

    Example:
        resnets.similar(run, "seven.png", top=3)[0]["nearest"][0]["path"]
    """
    check_range("workers", workers, 0, MAX_WORKERS)
    check_range("top", top, 1, MOST)
    path = None if out is None else Path(out)
    if path is not None and path.suffix.lower() not in FILES:
        raise UsageError(f"The nearest images go to a .csv, .json or .parquet file, not to {path}.")
    check_out(path)
    pixels = None if size is None else input_size(size)
    from resnets.artifacts.embeddings import embeddings
    from resnets.evaluation.embedding import embed_dataset

    loaded, inputs, _ = open_layers(model, images, device, pixels)
    name, splits = open_data([loaded], data, format, split or ("train" if data is None else None))
    dataset = splits.split(split or ("train" if "train" in splits.splits else "all"))
    predictor = loaded.predictor(loaded.card.preprocessing.tta[0])
    with threads_for(loaded.card, "torch"), progress_line() as line:
        asked = list(embeddings(inputs, predictor, loaded.card, None, workers))
        values, excluded = embed_dataset(
            predictor,
            dataset,
            default_workers() if workers is None else workers,
            lambda done: line(f"similar  {done:,} of {len(dataset):,} read"),
        )
    if excluded:
        count = show_count(len(excluded), loaded.card.preprocessing.noun)
        note(f"{count} of {name} cannot be read and left out: {next(iter(excluded.values()))}")
    numbers = np.delete(np.arange(len(dataset)), list(excluded))
    values = _unit(values)
    found: list[dict[str, Any] | None] = []
    failed: dict[int, DataError] = {}
    for number, (own, answer) in enumerate(asked):
        if isinstance(answer, DataError):
            failed[number] = answer
            found.append(None)
            continue
        likeness = values @ _unit(answer.float().cpu().numpy()[None])[0]
        order = np.argsort(-likeness, kind="stable")[:top]
        nearest = [_described(dataset, int(numbers[i]), float(likeness[i])) for i in order]
        found.append({"input": own, "nearest": nearest})
    if path is not None:
        answers = [each for each in found if each is not None]
        write_file(path, answers, {"data": name, "similar": answers})
    if failed:
        raise PredictionError(found, failed, [own for own, _ in asked])
    return found


def _described(dataset: Dataset, number: int, similarity: float) -> dict[str, Any]:
    labels = dataset.targets.get("labels")
    label = {} if labels is None or labels.ndim > 1 else {"label": dataset.classes[int(labels[number])]}
    return {"path": dataset.name(number), **label, "similarity": similarity}


def _unit(values: Any) -> Any:
    """(N, features) float64, each row of length 1; a row of zeros stays."""
    values = values.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)


def _answer(invocation: Invocation) -> Answer:
    given = invocation.arguments
    found, failed = call_on_inputs(invocation)
    answers, lines = [each for each in found if each is not None], []
    for each in answers:
        lines.append(printable(each["input"]))
        lines += [
            f"  {near['similarity']:7.4f}  {printable(near['path'])}{_of_class(near)}" for near in each["nearest"]
        ]
    data = {"model": given.model, "similar": answers, "failed": failed}
    return Answer(lines, data, failed=bool(failed))


def _of_class(described: Mapping[str, Any]) -> str:
    return f"  ({printable(described['label'])})" if "label" in described else ""


COMMAND = Command(similar, _answer, python_only=("quiet",))
