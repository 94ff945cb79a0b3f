"""`resnets evaluate`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.commands.arguments import check_path, check_range, device_for, input_size, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.data_in_memory import DataInMemory, takes_data_in_memory
from resnets.commands.data_of_model import leak_of, open_data
from resnets.commands.evaluated import Evaluated
from resnets.commands.given_model import open_model
from resnets.core.console import printable
from resnets.core.errors import UsageError
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.renamed import renamed_arguments
from resnets.core.signatures import checked_arguments
from resnets.core.workers import MAX_WORKERS, default_workers

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
    from resnets.artifacts.model import Model
    from resnets.evaluation import scoring
    from resnets.evaluation.predictor import Predictor
    from resnets.evaluation.scoring import Scores
    from resnets.modalities.base import SplitName
else:
    trained, scoring = LazyModule("resnets.artifacts.model"), LazyModule("resnets.evaluation.scoring")


@renamed_arguments(views="tta")
@checked_arguments
@can_be_quiet
@takes_data_in_memory
def evaluate(
    model: str | PathLike[str] | trained.Model,
    /,
    *ensemble: str | PathLike[str] | trained.Model,
    data: str | Path | DataInMemory | None = None,
    format: str | None = None,
    split: Literal["train", "val", "test", "all"] | None = None,
    tta: str | None = None,
    size: int | tuple[int, int] | str | None = None,
    unknown_below: float | None = None,
    corruptions: bool = False,
    out: str | PathLike[str] | None = None,
    device: str = "auto",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> scoring.Scores:
    """Evaluate a model on a split of a dataset: every sample once, in float32.

    Under torchrun the ranks share the samples. The runs of `train --fold all` are evaluated together, each on its own
    fold: every sample of the data once, by a model that was not trained on it.

    Args:
        model: a model file or a run folder, or the folder of all folds; in Python also a Run or a Model.
        ensemble: more of them; their probabilities are averaged with the first one's.
        data: a dataset or folder (default: what the model was trained on, with the split of its run).
        format: of the data, where two fit: folders, csv, jsonl, masks, voc, coco, yolo or webdataset (default: found by
            looking).
        split: train, val, test, or all of a folder of classes (default: test, else val, else all).
        tta: test-time augmentation, whose probabilities are averaged: center (none), flip (and the mirror image), shift
            (both, and moved by a pixel two ways), ten-crop, or multi-scale (the whole image at five sizes) (default:
            as in the model's recipe).
        size: WIDTHxHEIGHT in pixels at which images are tested, or one number for a square; in Python also (height,
            width) (default: the model's own).
        unknown_below: probability from 0 to 1 below which a classifier's answer counts as unknown (default: the model's
            own, if it has one).
        corruptions: evaluate on corrupted images as well: eight kinds of noise, blur, light and compression, of five
            severities each, 40 evaluations more.
        out: folder for report.html, metrics.json, predictions.csv and, of a classifier, wrong_labels.csv: the labels
            to look at (see check --relabel).
        device: auto, cpu, cuda or mps.
        runtime: torch; or, on the CPU, folded, compiled, openvino or onnxruntime (see predict).
        precision: auto, fp32, bf16 or int8, where the runtime supports it.
        calibrate: images to calibrate int8 on: a folder or a dataset (default: the training data).
        workers: threads that decode; the result does not depend on it (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        The scores: `scores.metrics["accuracy"]` or `scores.accuracy`, and the records of each sample as arrays.

    Raises:
        UsageError: if there is no such split or augmentation, or the models of an ensemble do not fit one another.
        DataError: if the data is missing, is for another task, or has classes that the model does not know.
        FileError: if a model file is missing or damaged.

    Example:
        scores = resnets.evaluate(run, split="test")
        scores.accuracy, scores.records["confidence"].mean()
    """
    check_range("workers", workers, 0, MAX_WORKERS)
    pixels = None if size is None else input_size(size)
    from resnets.artifacts.model import Model
    from resnets.commands.evaluate_folds import folds_in, pooled

    for each in (model, *ensemble):
        if not isinstance(each, Model):
            check_path(each)
    scored = functools.partial(
        _scored, data=data, format=format, split=split, tta=tta, size=pixels, unknown_below=unknown_below,
        corruptions=corruptions, device=device, runtime=runtime, precision=precision, calibrate=calibrate,
        workers=workers,
    )  # fmt: skip
    runs = () if isinstance(model, Model) or ensemble else folds_in(Path(model), data=data, split=split)
    if runs and corruptions:
        raise UsageError(f"Corruptions are of one model: evaluate the folds one by one, such as {runs[0]}.")
    found = pooled([scored(run, split="test") for run in runs], unknown_below) if runs else scored(model, *ensemble)
    if out is not None and found.is_main:
        _write(Path(out), found, workers=default_workers() if workers is None else workers)
    return found.scores


def _scored(
    *given: str | PathLike[str] | Model,
    data: str | Path | DataInMemory | None,
    format: str | None,
    split: SplitName | None,
    tta: str | None,
    size: int | tuple[int, int] | None,
    unknown_below: float | None,
    corruptions: bool,
    device: str,
    runtime: Runtime,
    precision: RunPrecision,
    calibrate: str | Path | None,
    workers: int | None,
) -> Evaluated:
    """Scores a model, or several as an ensemble; the arguments are those of `evaluate`."""
    from resnets.artifacts.size import note_on_size
    from resnets.core.devices import find_device
    from resnets.evaluation.predictor import Counted, NetworkPredictor
    from resnets.evaluation.robustness import EVALUATIONS, CorruptedPredictor, robustness
    from resnets.evaluation.scoring import absent, score
    from resnets.tasks.unknown import with_threshold
    from resnets.training import agreement
    from resnets.training.distributed import process_group
    from resnets.training.run_split import history_on

    with process_group(device_for(runtime, device)) as (ranks, own_device):
        chosen = find_device(own_device)
        models = [
            open_model(each, chosen, size, runtime=runtime, precision=precision, calibrate=calibrate) for each in given
        ]
        card = models[0].card
        settings = card.settings.for_ensemble() if len(models) > 1 else card.settings
        models[0] = first = replace(models[0], card=replace(card, settings=with_threshold(settings, unknown_below)))
        predictor = _predictor(models, tta, str(chosen))
        alone = predictor if isinstance(predictor, NetworkPredictor) else None
        if corruptions:
            predictor = _corruptible(predictor, models)
        name, splits = agreement.together(ranks, lambda: open_data(models, data, format, split))
        split = split or splits.scored
        dataset = splits.split(split)
        asked = {"tta": tta, "size": size, "unknown_below": unknown_below, "corruptions": corruptions}
        asked |= {"runtime": runtime, "precision": precision}
        agreement.require_equal_evaluation(ranks, dataset, [each.network for each in models], split, asked)
        with threads_for(first.card, runtime), progress_line() as line:
            count = f"{len(dataset) // ranks.world:,} {first.card.preprocessing.noun}s"
            scored = functools.partial(
                score, task=first.task, dataset=dataset, split=split, classes=first.classes,
                workers=default_workers() if workers is None else workers, rank=ranks.rank, world=ranks.world,
                gather=ranks.gather,
            )  # fmt: skip
            scores = scored(
                Counted(predictor, lambda done: line(f"evaluate  {done:,} of {count}")) if ranks.is_main else predictor
            )
            if isinstance(predictor, CorruptedPredictor):
                metric = first.card.settings.metrics[0].name
                found = robustness(
                    predictor,
                    lambda corrupted: scored(corrupted).metrics[metric],
                    lambda done: line(f"evaluate  corruption {done} of {EVALUATIONS}"),
                )
                scores = replace(scores, metrics=scores.metrics | {"corruptions": found})
    history = history_on(first.file, name) if len(models) == 1 else None
    leak = leak_of(models, name, splits, split)
    notes: tuple[str, ...] = () if size is None else (note_on_size(first.card),)
    notes += (*splits.notes, *([leak] if leak else []), *absent(dataset, first.classes))
    notes += first.task.remarks(scores.records, scores.metrics, split)
    scores = replace(scores, data=name, notes=notes, size=size)
    return Evaluated(scores, dataset, first, ranks.is_main, alone, history or (), leak)


def _corruptible(predictor: Predictor, models: Sequence[Model]) -> Predictor:
    """Returns the predictor of images that may be corrupted.

    Raises:
        UsageError: the model's inputs are no images of one size, or there are several models.
    """
    from resnets.evaluation.robustness import CorruptedPredictor

    if len(models) > 1 or models[0].card.preprocessing.part_of((1, 1)) is None:
        raise UsageError("Corruptions are of one model of images of one size.")
    return CorruptedPredictor(predictor)


def _predictor(models: Sequence[Model], tta: str | None, device: str) -> Predictor:
    """Returns the predictor of a model, or of several together, in the order of the first one's classes.

    Raises:
        UsageError: if the models are not of one task, one kind of input and the same classes, or one has no such
            test-time augmentation.
    """
    import torch

    from resnets.evaluation.predictor import Ensemble, Member

    first, chosen = models[0], torch.device(device)
    predictors = [each.predictor(tta, chosen) for each in models]
    if len(models) == 1:
        return predictors[0]
    for each in models[1:]:
        card = each.card
        if card.task != first.card.task:
            raise UsageError(f"An ensemble is of one task, and these models are of {first.card.task} and {card.task}.")
        if card.preprocessing.modality != first.card.preprocessing.modality:
            raise UsageError(
                f"An ensemble is of one kind of input, and these models take {first.card.preprocessing.noun}s and "
                f"{card.preprocessing.noun}s."
            )
        if len(_order(first, each)) != len(first.classes) or len(each.classes) != len(first.classes):
            raise UsageError("The models of an ensemble must know the same classes.")
    return Ensemble(
        [Member(predictor, _order(first, each)) for predictor, each in zip(predictors, models, strict=True)]
    )


def _order(first: Model, model: Model) -> tuple[int, ...]:
    """The number in `model` of each class of `first` that it knows."""
    from resnets.modalities.class_names import same_names

    known = same_names(first.classes, model.classes, str(first.file or "The first model"))
    return tuple(model.classes.index(known[name]) for name in first.classes if name in known)


def _write(folder: Path, found: Evaluated, *, workers: int) -> None:
    """Writes report.html, predictions.csv, metrics.json, which holds what `--json` prints, and files of the task."""
    from resnets.commands.predictions import write_json_files
    from resnets.core.files import write_json
    from resnets.reporting.report import write_predictions, write_report, write_wrong_labels
    from resnets.reporting.sample_facts import sample_facts

    scores, dataset, model = found.scores, found.dataset, found.model
    title = f"{scores.split} of {scores.data}"
    with threads_for(model.card, "torch"):
        samples = sample_facts(scores, dataset, model.card, found.predictor, workers=workers)
    write_report(
        folder / "report.html", title=title, scores=scores, dataset=dataset, card=model.card, samples=samples,
        predictions="predictions.csv", history=found.history, leak=found.leak,
    )  # fmt: skip
    write_predictions(folder / "predictions.csv", scores, dataset, model.card)
    if model.card.settings.single_label:
        write_wrong_labels(folder / "wrong_labels.csv", scores, dataset, model.card)
    write_json_files(folder, model.task.record_files(scores.records, dataset, scores.ids, model.classes))
    write_json(folder / "metrics.json", _as_json(scores))


def _as_json(scores: Scores) -> dict[str, object]:
    sized = {} if scores.size is None else {"size": scores.size}
    return {"task": scores.task, "data": scores.data, **sized, **scores.summary()}


def _answer(invocation: Invocation) -> Answer:
    from resnets.tasks.catalog import find, open_task
    from resnets.training.distributed import is_main

    scores: Scores = invocation.call()
    if not is_main():
        return Answer()
    lines = open_task(find(scores.task)).lines(scores.summary(), scores.split)
    lines += [f"  cannot be read: {printable(reason)}" for reason in list(scores.excluded.values())[:10]]
    return Answer(lines, _as_json(scores), scores.notes)


COMMAND = Command(evaluate, _answer, python_only=("quiet",))
