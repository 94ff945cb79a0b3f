"""What a run costs in seconds, measured before it starts: a step, an evaluation, and saving at the end.

The run's own network takes some steps on the run's own batches, at the largest input size, with all parts learning that
ever do, and scores a part of the evaluated split; model and report are written to a folder that is removed. All of it
is thrown away, so that the run that follows is the same as without. The first step, which compiles and allocates, is
left out, and on an accelerator the first evaluation.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from resnets.data.sampler import evenly_spaced
from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import Scores, batch_of, score
from resnets.modalities.base import Subset
from resnets.modalities.inputs import open_reader
from resnets.reporting.sample_facts import MOST
from resnets.training.budget import MEASURED, BudgetState
from resnets.training.build import batches_for, build_training
from resnets.training.distributed import Ranks
from resnets.training.events import Event
from resnets.training.length import PlannedLength
from resnets.training.model_files import ModelFiles, seconds_for_facts
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.probed_head import MOST_SAMPLES
from resnets.training.recipe import MAX_STEPS
from resnets.training.recorder import EventRecorder
from resnets.training.run_folder import RunFolder
from resnets.training.step import Training

T = TypeVar("T")

_LEAST, _MOST = 2, 30  # steps that are measured
_LEFT_OUT, _GRAPH_LEFT_OUT = 1, 5  # first steps; a CUDA graph is captured in the fourth
_FORWARD = 0.5  # of the time of a step: a batch of `precise_bn`, which has no backward pass
_PROBING = {"fp32": 1.2, "bf16": 0.8}  # of the time in which samples are evaluated: that of a probe, with its fit


def measure(plan: Plan, data: PreparedData, ranks: Ranks) -> BudgetState:
    """Returns what a run of `plan`, whose recipe has `minutes`, costs on this machine. Called on every rank.

    Raises:
        DataError: a training sample cannot be read.
    """
    recipe, samples = plan.recipe, len(data.train)
    whole = PlannedLength(step=0, total=MAX_STEPS, evaluate_every=MAX_STEPS)  # no evaluations
    learning = replace(recipe, fine_tuning=replace(recipe.fine_tuning, unfreeze=(), head="drawn"))
    training, _ = build_training(replace(plan, recipe=learning, lengths=(whole,)), data, ranks)
    step = _seconds_of_step(plan, data, training)
    test = Subset(data.test, evenly_spaced(len(data.test), 2 * batch_of(training.task) * ranks.world))
    prepared = data.prepared_test()
    predictor = NetworkPredictor(
        training.evaluated_network,
        training.task,
        open_reader(recipe.preprocessing),
        tta=recipe.tta,
        device=training.device,
        prepared=None if prepared is None else prepared[test.indices],
    )

    def evaluate() -> Scores:
        return score(
            predictor,
            training.task,
            test,
            split=data.splits.watched,
            workers=plan.workers,
            rank=ranks.rank,
            world=ranks.world,
            gather=ranks.gather,
        )

    if training.device.type != "cpu":
        evaluate()
    scores, seconds = _timed(evaluate)
    per_sample = seconds / len(test)
    evaluated = len(data.test) + (samples if recipe.score_training else 0)
    ending = _seconds_of_saving(plan, replace(data, test=test), training, scores, len(data.test))
    ending += _FORWARD * step * math.ceil(recipe.precise_bn / recipe.batch)
    if data.splits.watched != "test" and "test" in data.splits.splits:
        ending += per_sample * len(data.splits.split("test"))
    ending += per_sample * evaluated * recipe.soup
    probed = min(samples, MOST_SAMPLES) if recipe.fine_tuning.head == "probe" else 0
    return BudgetState(
        used=0.0,
        step=step,
        evaluation=per_sample * evaluated,
        ending=ending,
        preparation=_PROBING[training.precision] * per_sample * probed,
    )


def _seconds_of_step(plan: Plan, data: PreparedData, training: Training) -> float:
    """The mean time of a step at the largest input size, with loading."""
    recipe = plan.recipe
    assert recipe.minutes is not None
    batches = batches_for(
        recipe,
        data,
        device=training.device,
        bn_batch=training.bn_batch,
        rows=training.rows,
        workers=plan.workers,
        size_at=lambda step: recipe.augmentations.size_at(1.0),
    )
    left_out = _GRAPH_LEFT_OUT if recipe.cuda_graph else _LEFT_OUT
    times: list[float] = []
    training.prepare(batches)
    for batch in batches.between(0, left_out + _MOST):
        float(training.step(batch))  # waits for the device
        times.append(time.perf_counter())
        measured = len(times) - left_out
        # All ranks stop after the same step.
        enough = measured >= _LEAST and times[-1] - times[left_out - 1] > MEASURED * 60 * recipe.minutes
        if training.ranks.world > 1:
            enough = any(training.ranks.gather(enough))
        if enough:
            break
    return (times[-1] - times[left_out - 1]) / (len(times) - left_out)


def _seconds_of_saving(plan: Plan, data: PreparedData, training: Training, scores: Scores, evaluated: int) -> float:
    """The time of writing checkpoint, model and report. The first report, which loads what draws charts, is left out.

    Args:
        scores: of `data.test`, a part of the evaluated split.
        evaluated: size of that split.
    """
    if not training.ranks.is_main:
        return 0.0
    with tempfile.TemporaryDirectory(prefix="resnets-") as name:
        folder = RunFolder(Path(name))
        with contextlib.closing(EventRecorder(folder.log, (), Ranks())) as recorder:
            recorder.history += _curve(scores)
            files = ModelFiles(plan, data, folder, training, recorder)
            samples, of_part = _timed(lambda: files.rehearse_facts(scores))
            files.rehearse(scores, samples)
            _, seconds = _timed(lambda: files.rehearse(scores, samples))
    facts = min(min(evaluated, MOST) / len(scores.ids) * of_part, seconds_for_facts(plan.recipe.minutes))
    return 2 * seconds + facts  # the last checkpoint, and with a monitored metric a second model


def _curve(scores: Scores) -> list[Event]:
    """The events of a short run, for the curves of its report."""
    steps: list[Event] = [{"event": "step", "step": n, "epoch": float(n), "loss": 1.0} for n in (1, 2)]
    metrics = {name: value for name, value in scores.summary().items() if not isinstance(value, dict)}
    return steps + [{"event": "evaluation", "step": n, "epoch": float(n), **metrics} for n in (1, 2)]


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return action(), time.perf_counter() - started
