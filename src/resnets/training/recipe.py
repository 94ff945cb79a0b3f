"""All that decides a training run's result, as frozen data, read without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from resnets.core import config
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.core.rng import MAX_SEED
from resnets.core.typed import checked
from resnets.core.units import parse_bytes
from resnets.modalities.image.augmentations import Augmentations, Cutout, Normalize, PaddedCrop, ScaledCrop
from resnets.modalities.image.preprocessing import Preprocessing, TestTimeAugmentation
from resnets.models.initialization import Initialization
from resnets.models.spec import Spec
from resnets.training.schedules import Cosine, Schedule, Warmup

Precision = Literal["auto", "fp32", "bf16"]
# Far beyond any run that ends: what is larger is a slip, and would fill the memory or never end.
MAX_BATCH = 2**20
MAX_EPOCHS = 10**6
MAX_STEPS = 10**9
MAX_SAMPLES = 10**8  # of statistics


@dataclass(frozen=True, kw_only=True)
@checked
class SGD:
    """Stochastic gradient descent; weight decay is added to the gradient.

    Args:
        decay_norms: whether norms' scales and shifts and all biases decay too, as in the paper.
    """

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_norms: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or (self.nesterov and not self.momentum):
            raise UsageError("SGD needs momentum in [0, 1) (above 0 for nesterov) and weight_decay of 0 or more.")


@dataclass(frozen=True, kw_only=True)
@checked
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, 1711.05101)."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.05
    decay_norms: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and self.eps > 0 and self.weight_decay >= 0):
            raise UsageError("AdamW needs beta1 and beta2 in [0, 1), eps above 0 and weight_decay of 0 or more.")


@dataclass(frozen=True, kw_only=True)
@checked
class Muon:
    """Convolutions step along their momentum made orthogonal, all else is SGD with Nesterov momentum.

    Jordan et al. 2024 (Muon), as in cifar10-airbench: each kernel, seen as a matrix of outputs by the rest, is kept at
    the Frobenius norm of the square root of its outputs, so it needs no weight decay.

    Args:
        lr: of the convolutions.
        momentum: of the convolutions.
        iterations: of Newton and Schulz, which make the momentum nearly orthogonal.
        classifier_lr, vector_lr: of the classifier, and of norms' scales and shifts and other biases; each follows the
            schedule as `lr` does.
        vector_momentum: of both.
        decay: share that both lose in a step at the full rate, before Nesterov's momentum, by which it grows as a
            gradient's does.
    """

    lr: float = 0.24
    momentum: float = 0.6
    iterations: int = 3
    classifier_lr: float = 0.02
    vector_lr: float = 0.1
    vector_momentum: float = 0.85
    decay: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.lr, self.classifier_lr, self.vector_lr)
        if not (all(rate > 0 for rate in rates) and 0 <= self.decay < 1 and 1 <= self.iterations <= 100):
            raise UsageError("Muon needs rates above 0, decay in [0, 1) and from 1 to 100 iterations.")
        if not (0 < self.momentum < 1 and 0 < self.vector_momentum < 1):
            raise UsageError("Muon needs momentum and vector_momentum between 0 and 1.")


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Recipe:
    """A complete training recipe.

    Args:
        name: of the recipe; runs are called after it.
        data: "digits", "cifar10", "cifar100" or a folder.
        model: its classes and input channels are set from the data when the run starts.
        preprocessing: how images are brought to size and normalised.
        normalize: whence its mean and std.
        augmentations: how training looks at images.
        holdout: training images that are set aside, by class, and scored in place of the test set, for choosing
            settings; the same for every seed. (The paper's CIFAR settings were chosen on 5,000 of 50,000.)
        damaged: what to do about training images that cannot be read: refuse to start, or leave them out.
        batch: samples a step, over all devices.
        bn_batch: samples that share batch-norm statistics and are mixed with one another; None is the whole batch, or
            a device's share of it. Must divide `batch`. Smaller groups take less memory.
        epochs, steps: the length, one of the two.
        schedule, warmup: of the learning rate.
        label_smoothing: share of each label given to all classes alike.
        ema: decay of an exponential moving average of the weights, which is then what is evaluated and saved;
            None for none. It warms up as (1 + step) / (10 + step).
        clip_norm: largest norm of the whole gradient; None for no limit.
        nonfinite: what to do about a step whose gradient is not finite: stop the run, or leave the step out.
        initialization: of the weights.
        memory_limit: such as "2GiB": blocks are computed twice so that a step keeps within it, which changes no
            result; where that is not enough, the groups are made smaller when the run begins, and the run says so.
            On the CPU it is of the whole process, on a GPU of what torch takes there.
        precision: of the training steps; "auto" is bf16 where the hardware has it. Evaluation is in float32.
        cuda_graph: training steps are captured in a CUDA graph and replayed: the same kernels, no time between them.
            For one CUDA device and no `memory_limit`; not yet run on a GPU, where it is to become the rule.
        deterministic: on CUDA, only algorithms that come to the same bits every time, which costs some speed; without
            it two runs there differ in the last bits. CPU runs are the same either way.
        precise_bn: training images over which batch norm's means and variances are averaged anew after the last
            step, as the paper's authors did (their release notes); 0 keeps the running ones.
        score_training: also score the training images at every evaluation, seen as test images are.
        tta: what of each test image is looked at; see `resnets.evaluation.predictor.NetworkPredictor`.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        seed: of every draw.

    Raises:
        UsageError: a value out of range, or two that exclude each other.
    """

    name: str
    data: str
    model: Spec
    preprocessing: Preprocessing
    normalize: Normalize = "given"
    augmentations: Augmentations = field(default_factory=Augmentations)
    holdout: int = 0
    damaged: Literal["refuse", "exclude"] = "refuse"
    batch: int = 128
    bn_batch: int | None = None
    epochs: float | None = None
    steps: int | None = None
    optimizer: SGD | AdamW | Muon = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Cosine)
    warmup: Warmup | None = None
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
        if self.batch < 2:
            raise UsageError(f"batch must be 2 or more (batch norm needs two samples), not {self.batch}.")
        if self.batch > MAX_BATCH:
            raise UsageError(f"batch must be at most {MAX_BATCH:,}, not {self.batch:,}.")
        if self.bn_batch is not None and (self.bn_batch < 2 or self.batch % self.bn_batch):
            raise UsageError(f"bn_batch {self.bn_batch} must be 2 or more and divide batch {self.batch}.")
        if (self.epochs is None) == (self.steps is None):
            raise UsageError(f"give epochs or steps, not both or neither (epochs {self.epochs}, steps {self.steps}).")
        if self.epochs is not None and not 0 < self.epochs < MAX_EPOCHS:
            raise UsageError(f"epochs must be above 0 and below {MAX_EPOCHS:,}, not {self.epochs:g}.")
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"steps must be from 1 to {MAX_STEPS:,}, not {self.steps:,}.")
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
        if isinstance(self.augmentations.crop, ScaledCrop) and self.augmentations.crop.min_size < self.largest_size:
            raise UsageError(
                f"min_size {self.augmentations.crop.min_size} must be at least the crop of {self.largest_size} pixels."
            )
        one_size = self.normalize == "mean image" or self.preprocessing.mean_image is not None
        for setting, used in (
            ("augmentations.progressive_resize", self.augmentations.progressive_resize is not None),
            ("tta=multi-scale", self.tta == "multi-scale"),
        ):
            if one_size and used:
                raise UsageError(f"A mean image has one size: with {setting}, take normalize=channels.")
        smallest = (
            self.augmentations.progressive_resize.start
            if self.augmentations.progressive_resize
            else self.preprocessing.crop
        )
        least = min(smallest, self.preprocessing.crop)
        if least < self.model.least_size:
            raise UsageError(f"Of {least} pixels the model leaves nothing: it needs {self.model.least_size}.")
        for transform in self.augmentations.transforms:
            if isinstance(transform, PaddedCrop) and transform.fill == "reflect" and transform.padding >= smallest:
                raise UsageError(f"{transform.padding} pixels of padding reflect more than images of {smallest} have.")
            if isinstance(transform, Cutout) and transform.size >= smallest:
                raise UsageError(f"Cutout's square of {transform.size} pixels can hide all of images of {smallest}.")
        if self.memory_limit is not None:
            parse_bytes(self.memory_limit)
            if self.cuda_graph:
                raise UsageError("Blocks that are computed twice cannot be captured: give cuda_graph or memory_limit.")
        if not (self.holdout >= 0 and 0 <= self.precise_bn <= MAX_SAMPLES):
            raise UsageError(f"holdout must be 0 or more, and precise_bn from 0 to {MAX_SAMPLES:,}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"seed must be from 0 to {MAX_SEED}, not {self.seed}.")
        if self.model.dimensions != 2:
            raise UsageError(
                "training needs a model of 2 dimensions; sources of sequences and volumes do not exist yet."
            )

    @property
    def largest_size(self) -> int:
        """Height and width of the largest images that a training step sees."""
        return (
            self.augmentations.progressive_resize.stop
            if self.augmentations.progressive_resize
            else self.preprocessing.crop
        )

    def size_at(self, step: int, samples: int) -> int:
        """Height and width of the images of `step` (from 0), in a run over `samples` training samples."""
        progressive_resize = self.augmentations.progressive_resize
        return (
            progressive_resize.at(min(1.0, step / self.total_steps(samples)))
            if progressive_resize
            else self.preprocessing.crop
        )

    def total_steps(self, samples: int) -> int:
        """Steps of the whole run over `samples` training samples."""
        return self.steps if self.steps is not None else self.steps_at(self.epochs or 0, samples)

    def check_length(self, samples: int) -> None:
        """Raises `UsageError` if a run over `samples` training samples ends before its warm-up does."""
        if self.warmup is None or self.steps_at(self.warmup.epochs, samples) <= (total := self.total_steps(samples)):
            return
        raise UsageError(
            f"The warm-up takes {self.warmup.epochs:g} epochs and the run {total * self.batch / samples:.3g}, so the "
            "full learning rate would never be reached. Train for longer (--epochs), or shorten or drop the warm-up: "
            "warmup.epochs=N or warmup=none (--large-batch adds one of 5 epochs)."
        )

    def steps_at(self, epochs: float, samples: int) -> int:
        """The first step count at which `epochs` epochs are complete."""
        return math.ceil(round(epochs * samples / self.batch, 9))

    def with_length(self, *, epochs: float | None = None, steps: int | None = None) -> Recipe:
        """The same recipe for another length; schedules keep their shape, as they are given in shares of it."""
        return replace(self, epochs=epochs, steps=steps)

    def with_overrides(self, assignments: Iterable[str]) -> Recipe:
        """The recipe with every `dotted.name=value` applied; a length given in epochs replaces one in steps.

        Raises:
            UsageError: an unknown name (the message has the nearest) or a value that does not fit.
        """
        assignments = list(assignments)
        names = {assignment.partition("=")[0].strip() for assignment in assignments}
        for given, other in (("epochs", "steps"), ("steps", "epochs")):
            if given in names and other not in names:
                assignments.append(f"{other}=none")
        return config.override(self, assignments)
