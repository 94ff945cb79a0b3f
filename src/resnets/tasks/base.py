"""What the training loop, the evaluation, the report and the commands need of a task.

A task has two faces. Its settings are frozen, without torch, and stand in recipes and model files. Opened, they are
the `Task`, which builds networks and computes losses and metrics. `tasks.catalog` lists the classes and opens them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from resnets.models.spec import Spec
from resnets.tasks.metric import Metric
from resnets.tasks.sections import Chart, Headline, Paragraph, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from resnets.modalities.base import Arrays, Dataset, DatasetSplits
    from resnets.modalities.batch import Batch
    from resnets.tasks.samples import SampleFacts

SampleRecords = dict[str, "NDArray[Any]"]  # columns by name, each with one row a sample; see `tasks.records`
Network = Callable[[Any], Any]  # from inputs (N, ...) to the network's outputs


class TaskSettings(Protocol):
    """The settings of a task, frozen and without torch."""

    name: ClassVar[str]  # in model files and answers, such as "classification"
    reads: ClassVar[str]  # the task that its data is for (`Dataset.task`), before `adapt`
    metrics: ClassVar[tuple[Metric, ...]]  # those that a model may be chosen by; the first is the headline
    targets: ClassVar[tuple[str, ...]]  # the targets that a dataset must have
    fixed: ClassVar[bool]  # whether it takes inputs of a fixed size (`Input.fixed`), or inputs of any
    single_label: ClassVar[bool]  # whether a sample has one class, and the outputs are logits of a linear layer

    @property
    def canvas_targets(self) -> tuple[str, ...]:
        """What lies on images on a canvas (`Canvas.targets`), any of these; empty where it may be anything."""
        ...

    @property
    def needs_val(self) -> str | None:
        """The setting that can only be followed where there is `val`; None where none is given."""
        ...

    def model_for(self, spec: Spec, classes: int) -> Spec:
        """`spec` with the head that the task needs, for so many classes.

        Raises:
            UsageError: there is none for such a network.
        """
        ...

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        """The data as these settings read it, such as masks in which a value is no class; before any split is made.

        Raises:
            DataError: it does not fit them.
        """
        ...

    def for_other_classes(self) -> TaskSettings:
        """The settings without what belongs to each class, such as thresholds."""
        ...

    def for_ensemble(self) -> TaskSettings:
        """The settings for the mean of several networks: without what was fitted to the outputs of one."""
        ...

    def for_data(self, dataset: Dataset) -> TaskSettings:
        """The settings with what the training data decides.

        Raises:
            DataError, UsageError: they do not fit the data.
        """
        ...


class Task(Protocol):
    """Builds the network of a task and defines its loss, its records of each sample, its metrics and its answers."""

    @property
    def settings(self) -> TaskSettings: ...

    def build(self, spec: Spec) -> nn.Module:
        """A network on the CPU whose weights are not yet set; it has `spec` as an attribute.

        Raises:
            UsageError: the spec has another head, or too many parameters for the weights to be allocated.
        """
        ...

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """The parts of the loss of each sample of a training batch, (N,) float32 each; their sum is minimised."""
        ...

    def weight(self, batch: Batch) -> Tensor | None:
        """(N,) the weight of each sample in the mean loss, from the targets alone; None where each has weight 1.

        The step divides the sum of the losses by the sum of the weights over the global batch, such as the number of
        labelled pixels.
        """
        ...

    def predict(self, network: Network, batch: Batch) -> Any:
        """The outputs for evaluation: a tensor with a row a sample, or a sequence with a tensor a sample.

        It never sees targets.

        Args:
            batch: "inputs", normalised; "mirrored" (N,) bool; "sizes" (N, 2) height and width of the originals, where
                outputs are scored at that size; "regions" (N, 4) left, top, right and bottom of the part of each
                input that shows the image, where it need not be all.
        """
        ...

    def to_mean(self, outputs: Any) -> Any:
        """Outputs as what may be averaged over crops and networks, such as probabilities: a tensor (N, ...) float64 on
        the CPU, or a sequence with a tensor a sample.

        Raises:
            UsageError: they may not be averaged.
        """
        ...

    def from_mean(self, means: Sequence[Tensor]) -> Any:
        """The inverse of `to_mean` on the averages of each sample: outputs for `evaluate_batch` and `answers`."""
        ...

    def evaluate_batch(self, outputs: Any, batch: Batch, *, choose: bool = False) -> Mapping[str, Any]:
        """What is recorded of each sample of an evaluation batch: by name a tensor (N, ...), or a sequence with a
        tensor or an array a sample.

        Args:
            batch: the targets; those of different shapes are `ragged`.
            choose: whether `choose` gets the records, and they have what it needs.
        """
        ...

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        """The targets of a sample, or of all samples, with classes numbered anew.

        Args:
            order: (classes of the dataset,) the number that each has among the model's.
        """
        ...

    def choose(self, records: SampleRecords) -> tuple[Task, SampleRecords]:
        """The task with the settings that are chosen on `val`, such as thresholds, and that are not given, chosen on
        these records; and the records as that task has them.

        Args:
            records: of all samples, by `evaluate_batch` with `choose`.
        """
        ...

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        """The exact figures over the records of all samples, ready for JSON, with "loss" and "samples", and with what
        `choose` has set."""
        ...

    def fitted(self, metrics: Mapping[str, Any]) -> TaskSettings:
        """The settings for the model file, with what was chosen in `metrics`."""
        ...

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        """The title of a report and its one result."""
        ...

    def verdict(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        classes: tuple[str, ...],
        history: Sequence[Mapping[str, Any]],
    ) -> Paragraph | None:
        """Whether the model can be trusted and what to do next; None where the task knows no rules for it.

        Args:
            history: the events of the run; empty where they are not known.
        """
        ...

    def error_chart(self, evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
        """The headline metric, or the error, by epoch, of a run's `evaluation` events."""
        ...

    def sections(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        ids: NDArray[Any],
        classes: tuple[str, ...],
        facts: SampleFacts | None = None,
    ) -> tuple[Section, ...]:
        """The sections of a report.

        Args:
            ids: (N,) number in the dataset of each sample of `records`.
            facts: what is known of the samples besides; None where nothing is.
        """
        ...

    def remarks(self, records: SampleRecords, metrics: Mapping[str, Any], split: str) -> tuple[str, ...]:
        """What a person should know of these figures besides them, a line each.

        Args:
            split: of `records`.
        """
        ...

    def columns(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Sequence[Any]]:
        """The columns of predictions.csv after the sample's name: N values each."""
        ...

    def record_files(
        self, records: SampleRecords, dataset: Dataset, ids: NDArray[Any], classes: tuple[str, ...]
    ) -> Mapping[str, Any]:
        """The files in formats of others that `evaluate --out` writes beside, such as coco.json: what becomes JSON, by
        name; empty where there are none.

        Args:
            ids: (N,) number in `dataset` of each sample of `records`.
        """
        ...

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        """What `evaluate` prints: the metrics, then a table of the classes."""
        ...

    def answers(self, outputs: Any, classes: tuple[str, ...], top: int) -> list[Any]:
        """The answer to each sample, as `predict` returns it in Python.

        Args:
            outputs: of `predict` or `from_mean`.
            top: number of classes, where they are ranked.
        """
        ...

    def answer_json(self, answer: Any, classes: tuple[str, ...]) -> dict[str, Any]:
        """The keys of a prediction of `predict --json`, besides "input"."""
        ...

    def answer_extra(self, answer: Any) -> dict[str, Any]:
        """What an answer has besides `answer_json`, ready for JSON, such as the size of its image."""
        ...

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> Any:
        """The answer of which `data` is `answer_json` and `answer_extra` together, read back from JSON.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        ...

    def answer_lines(self, answer: Any, classes: tuple[str, ...]) -> list[str]:
        """What `predict` prints below the name of the input."""
        ...

    def write_answer(
        self, answer: Any, folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        """Writes the files of an answer into `folder`, if it has any; returns their names by key of the prediction.

        Args:
            name: of the files, without an ending.
            image: the input as Pillow's image, where it is one.
        """
        ...

    def answer_files(self, answers: Sequence[tuple[str, Any]], classes: tuple[str, ...]) -> Mapping[str, Any]:
        """As `record_files`, for `predict --out FOLDER`.

        Args:
            answers: the name of each input, and the answer to it.
        """
        ...
