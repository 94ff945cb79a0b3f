"""The one training loop: steps, evaluations, the log and the callback."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from resnets.data.loader import Batches
from resnets.evaluation.scoring import Scores
from resnets.training.callbacks import Callback
from resnets.training.diagnosis import NonFiniteError, diagnose
from resnets.training.events import Subscriber
from resnets.training.lookahead import Lookahead
from resnets.training.step import Training

LOGGED_STEPS = 2000  # a run logs no more steps than this


def run(
    training: Training,
    batches: Batches,
    evaluate: Callable[[], Scores],
    emit: Subscriber,
    callback: Callback | None = None,
    losses: list[Tensor] | None = None,
    evaluation_pending: bool = False,
) -> Scores:
    """Trains to the end; returns the scores of the final weights.

    Args:
        evaluate: scores the weights as they are.
        emit: called with every event.
        losses: of steps that were done but not logged when the run was interrupted.
        evaluation_pending: whether the run was interrupted before the evaluation of its last step.

    Raises:
        TrainingError: a gradient is not finite, and the recipe says to stop.
    """
    recipe, samples = training.recipe, batches.sampler.samples
    log_every = max(1, min(50, samples // recipe.batch), math.ceil(training.length.first_total / LOGGED_STEPS))
    # Reading `first_bad` waits for the device: after every step where that costs nothing, else with the log.
    check_every = 1 if training.device.type == "cpu" else log_every
    losses = losses or []
    clock, timed = time.perf_counter(), 0
    scores: Scores | None = None

    def evaluate_step() -> Scores:
        step = training.steps_done
        if callback:
            callback.before_evaluation()
        if step == training.total_steps:
            training.finish(batches)
        scores = evaluate()
        training.update_schedule(scores.metrics["loss"])
        figures = {k: v for k, v in scores.summary().items() if not isinstance(v, dict)}
        emit({"event": "evaluation", "step": step, "epoch": step * recipe.batch / samples, **figures})
        if callback:
            callback.after_evaluation(scores)
        return scores

    if evaluation_pending:
        scores = evaluate_step()
        clock = time.perf_counter()
        if callback:
            callback.after_step(losses)
    # Ranks learn of one another's votes a step later, so an error has to be found two steps before its batch.
    following = batches.between(training.steps_done, lambda: training.total_steps)
    upcoming = Lookahead(following, depth=1 if training.ranks.world == 1 else 2)
    for batch in upcoming:
        rate = training.learning_rate(training.steps_done)
        losses.append(training.step(batch))
        timed += 1
        step = training.steps_done
        epoch = step * recipe.batch / samples
        evaluated = step in training.length.evaluated_after
        if (step % check_every == 0 or evaluated) and (bad := int(training.first_bad)) >= 0:
            raise NonFiniteError(diagnose(training, batches, bad).advice())
        if step % log_every == 0 or evaluated:
            loss = float(training.ranks.sum(torch.stack(losses)).mean())
            now = time.perf_counter()
            speed = timed * recipe.batch / (now - clock)
            emit({"event": "step", "step": step, "epoch": epoch, "loss": loss, "lr": rate, "images_per_second": speed})
            losses, clock, timed = [], now, 0
        if evaluated:
            scores = evaluate_step()
            clock = time.perf_counter()
        if callback:
            callback.after_step(losses, upcoming.upcoming_error())
        if step == training.total_steps:  # with a time budget, more batches may have been made
            break
    return scores if scores is not None else evaluate()
