"""The events of a run: dictionaries, ready for JSON, that a run emits to its log and to its subscribers.

Every event has a key "event" that names its kind:

- "start": recipe, task, noun (what a sample is called), steps, epochs, train_samples, test_samples, leaked_samples (how
  many of these have the file of a training sample), leaked (the same by split, of val and of test), split, parameters,
  environment, world, notes; to subscribers also resumed_after, the steps that were done before
- "step": step, epoch, loss, lr, images_per_second (samples, whatever they are)
- "evaluation": step, epoch and the metrics of the evaluated split, those of the task
- "damaged": step, path and reason of a file that could not be read
- "plan": where a run with a time budget is planned, first and anew: step from which the plan holds, total (the steps of
  the whole run), epochs, evaluate_every, reason, and the seconds used and measured; see `training.budget`
- "probe": where the head was fitted before the first step: samples, lambda of the regression, accuracy in its
  cross-validation (None without), held_out (the samples that it held out), and recognized, the class of the weights
  for each class of the data that keeps its row and has another name; see `training.probe`
- "extension": where a finished run is trained longer; see `training.extension`
- "soup": at the end, where weights were averaged: tried, kept (the steps of those in the average), metric and value
- "warning": a message
- "end": seconds, what checkpoints cost of them, skipped steps; of a run that was extended, extensions; of one that
  patience ended, step and reason; of one whose model is of no use, problem (see `training.endings`)

Both names are public: `resnets.Event` and `resnets.Subscriber`. Kinds and keys are added, and not removed; a subscriber
passes over kinds that it does not know:

    def print_loss(event: resnets.Event) -> None:
        if event["event"] == "step":
            print(event["step"], event["loss"])

    resnets.train("digits", subscribers=(print_loss,))

A subscriber is called between steps, on rank 0 alone, and the run waits for it. An exception in one is reported once
and does not end the run, unless it is no `Exception`, such as KeyboardInterrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Event = dict[str, Any]
Subscriber = Callable[[Event], None]
