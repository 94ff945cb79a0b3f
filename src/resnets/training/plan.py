"""`recipe.json`, the plan of a run: all that decides it, and how it is read back to resume the run."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from resnets.core.config import OMITTED_BY_DEFAULT, decode, encode
from resnets.core.errors import FileError, UsageError, nearest
from resnets.core.files import read_json, write_json
from resnets.core.renamed import renamed_fields
from resnets.core.typed import checked
from resnets.core.workers import MAX_WORKERS
from resnets.data.fingerprint import Fingerprint
from resnets.data.splits import SplitRule
from resnets.modalities.base import SplitName
from resnets.modalities.catalog import is_name
from resnets.tasks.base import TaskSettings
from resnets.tasks.metric import Metric
from resnets.training.environment import Environment
from resnets.training.length import PlannedLength
from resnets.training.recipe import Recipe

FORMAT = 1
TrackerName = Literal["tensorboard", "mlflow", "wandb"]


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class CheckpointPolicy:
    """When checkpoints are written, which weights are kept, and whether a run ends early.

    Args:
        minutes: between checkpoints; None for no such rule.
        steps: between checkpoints; None for no such rule.
        keep: number of the newest checkpoints that are kept.
        monitor: one of the metrics of the task's settings. The weights with the best value become model.safetensors,
            and the final ones are kept as last.safetensors. The metrics of a model that was chosen by them are
            optimistic: report those of another split.
        patience: the run ends after so many evaluations without a better value of the monitored metric, by default
            the first of the task. Its schedule is not compressed for that: it is cut there, and its last learning rates
            are never reached.
    """

    minutes: float | None = 5.0
    steps: int | None = None
    keep: int = 2
    monitor: str | None = None
    patience: int | None = field(default=None, metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        if (
            (self.minutes is not None and self.minutes < 0)
            or (self.steps is not None and self.steps < 1)
            or self.keep < 1
        ):
            raise UsageError("checkpoints need minutes of 0 or more, steps and keep of 1 or more.")
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"patience takes 1 or more evaluations, not {self.patience}.")

    def monitored(self, task: TaskSettings) -> Metric | None:
        """The monitored metric of `task`, with patience alone its first one; None where none is monitored.

        Raises:
            UsageError: the task, or these settings of it, have no such metric; the message has those that it has.
        """
        if self.monitor is None:
            return None if self.patience is None else task.metrics[0]
        known = {metric.name: metric for metric in task.metrics}
        if self.monitor not in known:
            near = nearest(self.monitor, known)[:1]
            advice = f": did you mean {near[0]!r}?" if near else "."
            raise UsageError(
                f"monitor takes a metric of {task.name} ({', '.join(known)}), not {self.monitor!r}{advice}"
            )
        known[self.monitor].check_settings(task)
        return known[self.monitor]

    def check_data(self, task: TaskSettings, watched: SplitName, classes: int) -> None:
        """Raises UsageError if the monitored metric of `task` cannot choose a model or end a run.

        Args:
            watched: the split that is evaluated while training.
            classes: how many there are.
        """
        if (self.monitor is not None or self.patience is not None) and watched != "val":
            what = "patience ends a run by" if self.monitor is None else "monitor picks"
            raise UsageError(
                f"{what} the best model on val, and the data has none, only {watched}, which would then say too "
                "much of it. Hold a share of the training images out as val: --val-share 0.2."
            )
        metric = self.monitored(task)
        if metric is not None:
            metric.check_classes(classes)


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Plan:
    """The contents of recipe.json.

    Args:
        recipe: as resolved against the data.
        environment: where the run began; the last bit of a result may depend on it.
        checkpoints: when checkpoints are written and which weights are kept.
        workers: threads that decode.
        data_sha256: fingerprint of the training images.
        data_fingerprint: what `data_sha256` covers. Runs begun before 0.2 do not record it: names and labels alone.
        split_rule: how images are held out, "groups" where the column `group` of a table decided; see
            `resnets.data.splits`.
        weights_sha256: of the file of weights that the run starts from; None where they are drawn.
        teacher_sha256: of the model file of the recipe's teacher; None without one.
        data_path: absolute path of the data, where the recipe's `data` is a folder; None in the files of version 0.1.
        trackers: those that get the events of the run too; see `training.trackers`.
        extensions: epochs of each extension of the finished run; see `training.extension`.
        lengths: of a run with a time budget that has finished: as it was planned from step to step.
        stopped_after: the steps that were done when patience ended the run, and each extension of it that it ended.

    Raises:
        UsageError: `workers` or an extension is out of range, or the task has no such metric as is monitored.
    """

    recipe: Recipe
    environment: Environment
    checkpoints: CheckpointPolicy
    workers: int
    data_sha256: str
    split_rule: SplitRule = "stratified"  # of files that do not record it
    data_fingerprint: Fingerprint = "names"  # of files that do not record it
    data_path: str | None = None
    weights_sha256: str | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    teacher_sha256: str | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    trackers: tuple[TrackerName, ...] = field(default=(), metadata=OMITTED_BY_DEFAULT)
    extensions: tuple[float, ...] = ()
    lengths: tuple[PlannedLength, ...] = field(default=(), metadata=OMITTED_BY_DEFAULT)
    stopped_after: tuple[int, ...] = field(default=(), metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"workers must be from 0 to {MAX_WORKERS}, not {self.workers}.")
        if not all(0 < epochs < 1e6 for epochs in self.extensions):
            raise UsageError(f"extensions must be epochs above 0, not {list(self.extensions)}.")
        self.checkpoints.monitored(self.recipe.task)
        if self.checkpoints.patience is not None and self.recipe.precise_bn:
            raise UsageError(
                "precise_bn changes the model after its last step, and patience picks one that was evaluated before: "
                "give one of them."
            )

    @property
    def data(self) -> str:
        """The dataset to open: the recorded path if it exists, else the recipe's `data`."""
        path = self.data_path
        if path is not None and is_name(path):
            return path
        if path is None or (not os.path.exists(path) and os.path.exists(self.recipe.data)):
            return self.recipe.data
        return path

    @property
    def headline(self) -> Metric:
        """The metric of the run's task that says most."""
        return self.recipe.task.metrics[0]

    @property
    def monitored(self) -> Metric | None:
        """The metric that picks the best model; None for none."""
        return self.checkpoints.monitored(self.recipe.task)

    @property
    def sha256(self) -> str:
        """SHA-256 over everything that decides the result; each checkpoint has it."""
        read = decode(Recipe, encode(self.recipe))  # the round trip makes 6 epochs 6.0, as in a file
        recipe = encode(read, original=True)  # under the keys of version 0.1, which every version has hashed
        for name in ("memory_limit", "capture", "deterministic"):  # how the result is computed
            del recipe[name]
        decisive = {"recipe": recipe, "data": self.data_sha256}
        if self.weights_sha256 is not None:
            recipe["weights"] = self.weights_sha256  # wherever the file lies
        if self.teacher_sha256 is not None:
            recipe["teacher"]["model"] = self.teacher_sha256
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def write_plan(path: Path, plan: Plan) -> None:
    """Writes recipe.json.

    Raises:
        FileError: it cannot be written.
    """
    write_json(path, {"format": FORMAT, **encode(plan)})


def read_plan(path: Path) -> Plan:
    """Returns what `write_plan` wrote.

    Raises:
        FileError: the file is missing, damaged, or of another version.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"{path} is no recipe of format {FORMAT}; read it with the version of resnets that wrote it.")
    try:
        found = {key: value for key, value in data.items() if key != "format"}
        if found.pop("tensorboard", False):  # of version 0.2
            found["trackers"] = ["tensorboard"]
        return decode(Plan, found)
    except UsageError as error:
        raise FileError(f"{path} is damaged: {error}") from error
