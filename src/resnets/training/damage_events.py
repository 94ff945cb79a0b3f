"""What a run does when an image cannot be read: a line in `damaged.jsonl`, and an event once."""

from __future__ import annotations

from collections.abc import Callable

from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset
from resnets.training.damage import Damage, DamageLog, with_record
from resnets.training.recorder import EventRecorder


class DamageEvents:
    """Records the damage that training and evaluation find.

    Args:
        train: the images that are trained on.
        total_steps: returns those of the run.
        refuse: whether the run stops for a damaged training image; its size and hash are then recorded, so that the
            run goes on when the image was mended.
    """

    def __init__(
        self, log: DamageLog, recorder: EventRecorder, train: Dataset, *, total_steps: Callable[[], int], refuse: bool
    ) -> None:
        self._log = log
        self._recorder = recorder
        self._train = train
        self._total_steps = total_steps
        self._refuse = refuse

    def found_in_step(self, step: int, sample: int, reason: str) -> None:
        """Training image `sample` could not be read for `step`, from 0."""
        found = Damage(path=self._train.name(sample), reason=reason, step=min(step + 1, self._total_steps()))
        if self._refuse:
            found = with_record(found, self._train, sample)
        if self._log.append(found):
            self._emit(found)

    def found_in_evaluation(self, scores: Scores, steps_done: int) -> None:
        """Records the images that an evaluation could not read; emits also what other ranks have found since."""
        listed = self._log.by_path() if scores.damaged else {}
        for path, reason in scores.damaged.items():
            if path not in listed:
                self._log.append(Damage(path=path, reason=reason, step=steps_done))
        for each in self._log.read():
            if each.step is not None:
                self._emit(each)

    def _emit(self, found: Damage) -> None:
        # A run that resumes finds the damage of its next batches again: they were loaded ahead of the checkpoint.
        events = [e for e in self._recorder.history if e.get("event") == "damaged"]
        if not any((e.get("step"), e.get("path")) == (found.step, found.path) for e in events):
            self._recorder.emit({"event": "damaged", "step": found.step, "path": found.path, "reason": found.reason})
