"""The recipe: everything that decides the result of a training run, as frozen data, read without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from resnets.core import config
from resnets.core.config import OMITTED_BY_DEFAULT, UNTAGGED_FIRST
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.core.rng import MAX_SEED
from resnets.core.typed import checked
from resnets.core.units import parse_bytes
from resnets.data.split_settings import SplitSettings
from resnets.modalities.image.preprocessing import Normalize, TestTimeAugmentation
from resnets.modalities.image.transforms import Augmentations
from resnets.modalities.inputs import AnyAugmentations, AnyInput
from resnets.models.initialization import Initialization
from resnets.models.spec import Spec
from resnets.tasks.balance import Balance
from resnets.tasks.catalog import AnyTask
from resnets.tasks.classification.settings import Classify
from resnets.training.distillation import Distillation as Distillation
from resnets.training.fine_tuning import FineTuning as FineTuning
from resnets.training.optimizer_settings import LAMB as LAMB
from resnets.training.optimizer_settings import SGD as SGD
from resnets.training.optimizer_settings import AdamW as AdamW
from resnets.training.optimizer_settings import Muon as Muon
from resnets.training.recipe_checks import MAX_EPOCHS as MAX_EPOCHS
from resnets.training.recipe_checks import MAX_STEPS as MAX_STEPS
from resnets.training.recipe_checks import (
    check_fine_tuning,
    check_input,
    check_lengths,
    check_single_label,
    check_soup,
)
from resnets.training.schedules import Cosine, Schedule, Warmup
from resnets.training.usual_names import USUAL_NAMES

Precision = Literal["auto", "fp32", "bf16"]
# Far beyond any run that ends: larger values are mistakes, and would fill the memory or never end.
MAX_BATCH = 2**20
MAX_EVALUATIONS = 10**6
MAX_SAMPLES = 10**8  # of precise_bn


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Recipe:
    """A complete training recipe.

    Args:
        name: of the recipe; runs are named after it.
        data: "digits", "cifar10", "cifar100", "torchvision:NAME", "hf:OWNER/NAME", or the path of a folder, a table or
            a shard. "memory:SHA256" is data that was in memory; see `modalities.in_memory`.
        format: of the data, one of `modalities.catalog.FORMATS`; None finds it by looking.
        model: the network; its classes and input channels are set from the data when the run starts, its head by the
            task.
        preprocessing: how samples become the network's input.
        task: what is predicted, and by which loss.
        weights: to start from, as `resnets.artifacts.pretrained.load_weights` takes them; None initialises new ones.
        fine_tuning: which parts of the network learn, from when on and at which rate, and how its head begins.
        teacher: a model from which the network learns beside the labels; None for none.
        soup: the weights of how many of the best evaluations may be averaged at the end (`training.soup`); 0 for none.
        normalize: where the mean and std of the preprocessing come from.
        augmentations: random changes of training samples.
        val_share: how much of data without `val` is held out as that, by the hash of each name or group: from 0 to
            below 1. None is a fifth of data that has no `test` either, and nothing of other data.
        group_by: a regular expression that is searched for in each sample's name below the data's root. What its
            first group (or else the whole) matches names samples that stay together, such as those of one patient.
        fold: such as "2/5": of five parts of all samples, the second is `test`, and the others are trained on.
        holdout: training images that are held out, by class, and evaluated in place of the test set, for choosing
            settings; the same for every seed. (The paper's CIFAR settings were chosen on 5,000 of 50,000.)
        damaged: what to do about training images that cannot be read: refuse to start, or exclude them.
        batch: samples a step, over all devices.
        bn_batch: samples of a ghost batch, which share batch-norm statistics and are mixed with one another; None is
            the whole batch, or a device's share of it. Must divide `batch`. Smaller ones take less memory.
        repeated_augmentation: copies of each sample in a batch, each augmented anew; an epoch, which is as long, has
            so many times fewer samples (Hoffer et al. 2020, 1901.09335). 1 for none.
        epochs, steps: the length, one of the two.
        minutes: the length as a time budget: training, evaluation and saving end within it, with the schedule run to
            its end; see `training.budget`. With `epochs` or `steps` besides, the run has no more of them.
        schedule, warmup: of the learning rate.
        balance: of classes of different frequency: "weights" weighs each class in the loss inversely to its frequency
            (in segmentation to the root of that of its pixels), "sampling" draws as many samples of each, and
            `ClassWeights` has weights by class name; see `tasks.balance`. None takes the classes as they are.
        label_smoothing: share of each label that is spread evenly over all classes.
        ema: decay of an exponential moving average of the weights, which is then evaluated and saved; None for none.
            It warms up as (1 + step) / (10 + step).
        clip_norm: largest norm of the whole gradient; None for no limit.
        nonfinite: what to do about a step whose gradient is not finite: stop the run, or skip the step.
        initialization: of the weights.
        memory_limit: of a step, such as "2GiB". Blocks are recomputed (activation checkpointing) as far as needed,
            which changes no result; if that is not enough, the run begins with a smaller `bn_batch` and a note on it.
            On the CPU it limits the whole process, on a GPU what torch allocates there.
        precision: of the training steps; "auto" is bf16 on hardware that has it. Evaluation is in float32.
        cuda_graph: captures training steps in a CUDA graph and replays it: the same kernels with no time in between.
            For one CUDA device, without `memory_limit`.
        deterministic: on CUDA, use only algorithms that give the same bits every time, which costs some speed; without
            it two runs there differ in the last bits. CPU runs are the same either way.
        precise_bn: training images over which batch norm's means and variances are averaged after the last step, as
            the paper's authors did (their release notes); 0 keeps the running ones.
        score_training: also evaluate on the training images, preprocessed as test images are.
        tta: test-time augmentation; see `resnets.evaluation.tta`.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        seed: of all random choices.

    Raises:
        UsageError: a value is out of range, or two exclude each other.
    """

    USUAL_NAMES: ClassVar[Mapping[str, tuple[str, ...]]] = USUAL_NAMES  # for messages; see `core.config`

    name: str
    data: str
    model: Spec
    preprocessing: AnyInput = field(metadata=UNTAGGED_FIRST)
    task: AnyTask = field(default_factory=Classify, metadata=OMITTED_BY_DEFAULT | UNTAGGED_FIRST)
    weights: str | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    teacher: Distillation | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    soup: int = field(default=0, metadata=OMITTED_BY_DEFAULT)
    fine_tuning: FineTuning = field(default_factory=FineTuning, metadata=OMITTED_BY_DEFAULT)
    format: str | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    normalize: Normalize = "given"
    augmentations: AnyAugmentations = field(default_factory=Augmentations, metadata=UNTAGGED_FIRST)
    val_share: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    group_by: str | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    fold: str | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    holdout: int = 0
    damaged: Literal["refuse", "exclude"] = "refuse"
    batch: int = 128
    bn_batch: int | None = None
    repeated_augmentation: int = field(default=1, metadata=OMITTED_BY_DEFAULT)
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    optimizer: SGD | AdamW | Muon | LAMB = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Cosine)
    warmup: Warmup | None = None
    balance: Balance | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    label_smoothing: float = 0.0
    ema: float | None = None
    clip_norm: float | None = None
    nonfinite: Literal["stop", "skip"] = "stop"
    initialization: Initialization = field(default_factory=Initialization)
    memory_limit: str | None = None
    precision: Precision = "auto"
    cuda_graph: bool = False
    deterministic: bool = False
    precise_bn: int = 0
    score_training: bool = False
    tta: TestTimeAugmentation = "center"
    evaluate_every: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = self.least_bn_batch
        if self.batch < least:
            why = " (batch norm needs two samples)" if least == 2 else ""
            raise UsageError(f"batch must be {least} or more{why}, not {self.batch}.")
        if self.batch > MAX_BATCH:
            raise UsageError(f"batch must be at most {MAX_BATCH:,}, not {self.batch:,}.")
        if self.bn_batch is not None and (self.bn_batch < least or self.batch % self.bn_batch):
            raise UsageError(f"bn_batch must be {least} or more and divide batch {self.batch}, not {self.bn_batch}.")
        check_lengths(self.epochs, self.steps, self.minutes)
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"label_smoothing must be in [0, 1), not {self.label_smoothing}.")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise UsageError(f"ema must be in [0, 1), not {self.ema}.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UsageError(f"clip_norm must be above 0, not {self.clip_norm}.")
        if not self.optimizer.lr > 0 or not math.isfinite(self.optimizer.lr):
            raise UsageError(f"optimizer.lr must be above 0, not {self.optimizer.lr}.")
        if not 0 < self.evaluate_every < MAX_EPOCHS:
            raise UsageError(
                f"evaluate_every must be above 0 and below {MAX_EPOCHS:,} epochs, not {self.evaluate_every:g}."
            )
        if not 1 <= self.repeated_augmentation <= self.batch:
            raise UsageError(
                f"repeated_augmentation must be from 1 to batch {self.batch}, not {self.repeated_augmentation}."
            )
        self._check_input()
        tuned = self.fine_tuning
        check_fine_tuning(tuned, self.model, self.optimizer, self.ema, self.precise_bn, cuda_graph=self.cuda_graph)
        check_single_label(self.task, probe=tuned.head == "probe", teacher=self.teacher is not None)
        check_soup(self.soup)
        self.split.check()
        if self.memory_limit is not None:
            parse_bytes(self.memory_limit)
            if self.cuda_graph:
                raise UsageError(
                    "A CUDA graph cannot recompute blocks (activation checkpointing): give cuda_graph or memory_limit."
                )
        if not 0 <= self.precise_bn <= MAX_SAMPLES:
            raise UsageError(f"precise_bn must be from 0 to {MAX_SAMPLES:,}, not {self.precise_bn:,}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"seed must be from 0 to {MAX_SEED}, not {self.seed}.")
        if self.model.dimensions != 2:
            raise UsageError(
                "Training needs a model of 2 dimensions; there are no datasets of sequences and volumes yet."
            )

    def _check_input(self) -> None:
        """Raises UsageError where input, augmentations, task and network do not fit one another."""
        settings = self.preprocessing
        self.augmentations.check(settings, least=self.model.least_size, normalize=self.normalize, tta=self.tta)
        if self.tta not in settings.tta:
            raise UsageError(
                f"tta={self.tta} is not for inputs of {type(settings).__name__}: choose from {', '.join(settings.tta)}."
            )
        check_input(self.task, settings)

    @property
    def split(self) -> SplitSettings:
        """What decides which samples are held out."""
        return SplitSettings(self.holdout, self.val_share, self.group_by, self.fold)

    @property
    def least_bn_batch(self) -> int:
        """The fewest samples that may share batch-norm statistics: 2, or 1 where the network has no batch norm."""
        return 2 if self.model.norm == "batch" else 1

    @property
    def largest_shape(self) -> tuple[int, ...]:
        """The spatial shape of the largest inputs that a training step takes, such as (height, width)."""
        return self.preprocessing.shape(self.augmentations.largest_size)

    def size_at(self, step: int, samples: int) -> int | None:
        """Returns the size of the inputs of `step` (from 0) in a run over `samples` training samples, where it changes
        during training."""
        return self.augmentations.size_at(min(1.0, step / self.total_steps(samples)))

    def total_steps(self, samples: int) -> int:
        """Returns the steps of the whole run over `samples` training samples.

        Where the recipe has a time budget, these are the most steps: what fits is known once it has been measured.
        """
        if self.epochs is None and self.steps is None:
            return MAX_STEPS
        return self.steps if self.steps is not None else self.steps_at(self.epochs or 0, samples)

    def check_length(self, samples: int) -> None:
        """Raises `UsageError` if a run over `samples` training samples ends before its warm-up does.

        Within a time budget it does not: the warm-up is shortened (`training.length`).
        """
        if self.minutes is not None:
            return
        if self.warmup is None or self.steps_at(self.warmup.epochs, samples) <= (total := self.total_steps(samples)):
            return
        raise UsageError(
            f"The warm-up takes {self.warmup.epochs:g} epochs and the run {total * self.batch / samples:.3g}, so the "
            "full learning rate would never be reached. Train for longer (--epochs), or shorten or drop the warm-up: "
            "warmup.epochs=N or warmup=none (--large-batch adds one of 5 epochs)."
        )

    def steps_at(self, epochs: float, samples: int) -> int:
        """Returns the first step count at which `epochs` epochs are complete."""
        return math.ceil(round(epochs * samples / self.batch, 9))

    def evaluation_steps(self, samples: int) -> set[int]:
        """Returns the step counts after which a run over `samples` training samples is evaluated, the last among them.

        Raises:
            UsageError: there are more than `MAX_EVALUATIONS`.
        """
        total = self.total_steps(samples)
        count = total * self.batch / samples / self.evaluate_every
        if count > MAX_EVALUATIONS:
            raise UsageError(f"evaluate_every={self.evaluate_every:g} asks for {count:.3g} evaluations: increase it.")
        marks = (self.steps_at(self.evaluate_every * i, samples) for i in range(1, math.floor(count) + 1))
        return {m for m in marks if m <= total} | {total}

    def with_length(
        self, *, epochs: float | None = None, steps: int | None = None, minutes: float | None = None
    ) -> Recipe:
        """Returns the recipe with another length; schedules keep their shape, as they are given in shares of it."""
        return replace(self, epochs=epochs, steps=steps, minutes=minutes)

    def with_overrides(self, assignments: Iterable[str]) -> Recipe:
        """Returns the recipe with every `dotted.name=value` applied; a length in epochs replaces one in steps.

        Raises:
            UsageError: a name is unknown (the message has the nearest), or a value does not fit.
        """
        assignments = list(assignments)
        names = config.names_of(assignments)
        for given, other in (("epochs", "steps"), ("steps", "epochs")):
            if given in names and other not in names:
                assignments.append(f"{other}=none")
        budget = [value for name, _, value in (a.partition("=") for a in assignments) if name.strip() == "minutes"]
        if budget and budget[-1].strip().lower() not in ("none", "null") and not names & {"epochs", "steps"}:
            assignments += ["epochs=none", "steps=none"]
        return config.override(self, assignments)
