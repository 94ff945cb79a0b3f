"""`resnets compare`."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from resnets.commands.arguments import check_path, check_range, input_size, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.data_in_memory import DataInMemory, takes_data_in_memory
from resnets.commands.data_of_model import leak_of, open_data
from resnets.commands.given_model import open_model
from resnets.core.console import note, printable
from resnets.core.errors import DataError, UsageError, unknown
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.signatures import checked_arguments
from resnets.core.workers import MAX_WORKERS, default_workers

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
    from resnets.artifacts.model import Model
    from resnets.evaluation.comparison import Figure
    from resnets.evaluation.scoring import Scores
    from resnets.tasks.base import SampleRecords
    from resnets.tasks.metric import Metric
else:
    trained = LazyModule("resnets.artifacts.model")


@checked_arguments
@can_be_quiet
@takes_data_in_memory
def compare(
    model: str | PathLike[str] | trained.Model,
    /,
    *others: str | PathLike[str] | trained.Model,
    data: str | Path | DataInMemory | None = None,
    format: str | None = None,
    split: Literal["train", "val", "test", "all"] | None = None,
    metric: str | None = None,
    tta: str | None = None,
    size: int | tuple[int, int] | str | None = None,
    out: str | PathLike[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare models on the same samples: the differences, with paired intervals.

    Each model is evaluated as `evaluate` does. Intervals of 95% are of the bootstrap over samples, which all models
    share, and of a table with the column group over groups; for classifiers, McNemar's test says how likely so uneven a
    division of the errors is by chance.

    Args:
        model: a model file or a run folder; in Python also a Run or a Model. The others are compared with it.
        others: one or more of them, of the same task.
        data: a dataset or folder (default: what the first model was trained on, with the split of its run).
        format: of the data, where two fit: folders, csv, jsonl, masks, voc, coco, yolo or webdataset (default: found by
            looking).
        split: train, val, test, or all of a folder of classes (default: test, else val, else all).
        metric: by which they are compared, one that --monitor takes (default: the task's first).
        tta: test-time augmentation (see evaluate; default: as in each model's recipe).
        size: WIDTHxHEIGHT in pixels at which images are tested, or one number for a square; in Python also (height,
            width) (default: each model's own).
        out: folder for compare.html and comparison.json.
        device: auto, cpu, cuda or mps.
        workers: threads that decode; the result does not depend on it (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        What `--json` prints: "models", with the metrics of each, and "differences", each model less the first.

    Raises:
        UsageError: if there is no such metric or split, or the models are of different tasks or held out different
            samples.
        DataError: if the data is missing, is for another task, or has classes that a model does not know.

    Example:
        resnets.compare(first, second)["differences"][0]["interval"]
    """
    check_range("workers", workers, 0, MAX_WORKERS)
    pixels = None if size is None else input_size(size)
    from resnets.artifacts.model import Model
    from resnets.core.devices import find_device
    from resnets.evaluation.comparison import compare as compared
    from resnets.evaluation.comparison import mcnemar
    from resnets.evaluation.predictor import Counted
    from resnets.evaluation.scoring import absent, score
    from resnets.reporting.comparison import write_comparison
    from resnets.reporting.sample_facts import scored_groups

    if not others:
        raise UsageError("Give two models or more: the first is compared with each of the others.")
    given = (model, *others)
    for each in given:
        if not isinstance(each, Model):
            check_path(each)
    place = find_device(device)
    models = [open_model(each, place, pixels) for each in given]
    first = models[0]
    if other := [each.card.task for each in models if each.card.task != first.card.task]:
        raise UsageError(f"Models of one task are compared, and these are of {first.card.task} and {other[0]}.")
    chosen = _metric(first.card.settings.metrics, metric, first.card.task)
    for each in models:
        chosen.check_settings(each.card.settings)
        chosen.check_classes(len(each.classes))
    name, splits = open_data(models, data, format, split)
    split = split or splits.scored
    dataset, leak = splits.split(split), leak_of(models, name, splits, split)
    found: list[Scores] = []
    with progress_line() as line:
        for number, each in enumerate(models, start=1):
            count = f"{number} of {len(models)}: "
            with threads_for(each.card, "torch"):
                predictor = Counted(
                    each.predictor(tta, place),
                    lambda done, of=count: line(f"compare  model {of}{done:,} of {len(dataset):,}"),  # type: ignore[misc]
                )
                found.append(
                    score(
                        predictor,
                        each.task,
                        dataset,
                        split=split,
                        classes=each.classes,
                        workers=default_workers() if workers is None else workers,
                    )
                )
        note(*splits.notes, *([leak] if leak else []), *absent(dataset, first.classes))
        kept, records = _shared(found)
        if len(kept) < len(dataset):
            note(f"{len(dataset) - len(kept):,} of {len(dataset):,} cannot be read and are left out.")
        groups = scored_groups(dataset, kept, first.card.recipe)
        paired = compared(
            records,
            [_figure(each, chosen.name) for each in models],
            None if groups is None else groups.of,
            done=lambda draw: line(f"compare  bootstrap {draw:,}"),
        )
    names = [os.fspath(each) if isinstance(each, str | PathLike) else str(each.file or "a model") for each in given]
    figures = [
        {"model": own, **each.task.metrics(theirs, each.classes), "interval": [found.low, found.high]}
        for own, each, theirs, found in zip(names, models, records, paired.figures, strict=True)
    ]
    differences = [
        {
            "first": names[0],
            "second": own,
            "difference": found.value,
            "interval": [found.low, found.high],
            **({"mcnemar": mcnemar(records[0]["rank"] == 0, theirs["rank"] == 0)} if "rank" in theirs else {}),
        }
        for own, theirs, found in zip(names[1:], records[1:], paired.differences, strict=True)
    ]
    answer: dict[str, Any] = {
        "task": first.card.task,
        "data": name,
        "split": split,
        "samples": len(kept),
        "groups": None if groups is None else len(set(groups.of.tolist())),
        "leak": leak,
        "metric": chosen.name,
        "models": figures,
        "differences": differences,
    }
    if out is not None:
        write_comparison(Path(out), answer, chosen)
    return answer


def _metric(metrics: Sequence[Metric], name: str | None, task: str) -> Metric:
    """The metric called `name`; the first where that is None.

    Raises:
        UsageError: the task has none of that name.
    """
    known = {metric.name: metric for metric in metrics}
    if name is not None and name not in known:
        raise unknown(f"metric of {task}", name, known)
    return metrics[0] if name is None else known[name]


def _figure(model: Model, metric: str) -> Figure:
    task = model.task
    return lambda records: cast("float | None", task.metrics(records, model.classes)[metric])


def _shared(found: Sequence[Scores]) -> tuple[NDArray[np.int64], list[SampleRecords]]:
    """(N,) the numbers of the samples that every model could be asked about, and each one's records of these.

    Raises:
        DataError: there are none.
    """
    kept = functools.reduce(np.intersect1d, [scores.ids for scores in found])
    if not len(kept):
        raise DataError("There is no sample that all models can read.")
    places = [np.searchsorted(scores.ids, kept) for scores in found]
    return kept, [
        {name: values[rows] for name, values in scores.records.items()}
        for scores, rows in zip(found, places, strict=True)
    ]


def _answer(invocation: Invocation) -> Answer:
    from resnets.reporting.comparison import sentences
    from resnets.tasks.catalog import find

    answer = invocation.call()
    metric = _metric(find(answer["task"]).metrics, answer["metric"], answer["task"])
    width = max(len(printable(each["model"])) for each in answer["models"])
    lines = [
        f"{printable(each['model']):{width}}  {answer['split']} {metric.name} {metric.show(each[metric.name])}  "
        f"(95% interval {metric.show(each['interval'][0])} to {metric.show(each['interval'][1])})"
        for each in answer["models"]
    ]
    for said, each in zip(sentences(answer, metric), answer["differences"], strict=True):
        lines.append(printable(said))
        if "mcnemar" in each:
            test = each["mcnemar"]
            lines.append(
                f"  it alone is right on {test['second_alone']:,} samples, the first alone on {test['first_alone']:,}; "
                f"p = {test['p']:.3g} (McNemar)"
            )
    return Answer(lines, answer)


COMMAND = Command(compare, _answer, python_only=("quiet",))
