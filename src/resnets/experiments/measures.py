"""What is measured of a trained net. Errors are fractions of 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.core.workers import default_workers
from resnets.data.sampler import evenly_spaced
from resnets.evaluation.predictor import Ensemble, Member, NetworkPredictor, Predictor
from resnets.evaluation.scoring import score
from resnets.experiments.experiment import Measured
from resnets.experiments.result_keys import with_old_keys
from resnets.experiments.trial import Trial
from resnets.modalities.image.preprocessing import TestTimeAugmentation
from resnets.modalities.inputs import open_reader
from resnets.models.resnet import ResNet
from resnets.tasks.forward import forward
from resnets.training.build import task_of

IMAGES = 1000  # test images, for measures that take many passes
BATCH = 200
SWAPS = 5  # random choices for each number of swapped pairs


def curves(trial: Trial) -> Measured:
    """Errors by epoch, and those of the last epoch, never the best. "test" is the split that `split` names."""
    evaluations = [event for event in trial.events if event["event"] == "evaluation"]
    steps = [event for event in trial.events if event["event"] == "step"]
    by_epoch: dict[str, list[float]] = {
        "epoch": [event["epoch"] for event in evaluations],
        "test_error": [1 - event["accuracy"] for event in evaluations],
        "top5_error": [1 - event["top5"] for event in evaluations],
    }
    if "train_accuracy" in evaluations[-1]:
        by_epoch["train_error"] = [1 - event["train_accuracy"] for event in evaluations]
    finals = {f"final_{name}": values[-1] for name, values in by_epoch.items() if name != "epoch"}
    return {**by_epoch, **finals, "final_loss": steps[-1]["loss"], "split": evaluations[-1].get("split", "test")}


def with_tta(tta: TestTimeAugmentation) -> Callable[[Trial], Measured]:
    """Returns a measure: the curves, and top-1 and top-5 errors with test-time augmentation."""

    def measure(trial: Trial) -> Measured:
        predictor = _predictor(trial, trial.network, tta)
        return {**curves(trial), **_tta_errors(predictor, trial)}

    return measure


def _tta_errors(predictor: Predictor, trial: Trial) -> Measured:
    metrics = score(predictor, task_of(trial.recipe), trial.data.test, workers=default_workers()).metrics
    return with_old_keys({"tta_error": 1 - metrics["accuracy"], "tta_top5_error": 1 - metrics["top5"]})


def ensemble_errors(trials: Sequence[Trial], tta: TestTimeAugmentation) -> Measured:
    """Errors of the mean of the trials' probabilities, with test-time augmentation; all have the same classes."""
    members = [Member(_predictor(t, t.model.network, tta), tuple(range(len(t.model.classes)))) for t in trials]
    return _tta_errors(Ensemble(members), trials[0])


def _predictor(trial: Trial, network: nn.Module, tta: TestTimeAugmentation) -> NetworkPredictor:
    return NetworkPredictor(network, task_of(trial.recipe), open_reader(trial.model.card.preprocessing), tta=tta)


def responses(trial: Trial) -> Measured:
    """Standard deviation of each 3x3 layer's response: its output behind the norm, before addition and activation.

    He et al. 2015, figure 7. In a residual net that is the strength of the residual function. `scale` has the learnt
    scale of each, the mean absolute weight of the norm. Over all test images, in evaluation.
    """
    network, scales, hooks = trial.network.eval(), {}, []
    sums: dict[str, list[float]] = {}

    def sums_of(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            values = output.double()
            total = sums.setdefault(name, [0.0, 0.0, 0.0])
            total[0] += values.numel()
            total[1] += float(values.sum())
            total[2] += float(values.square().sum())

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and "downsample" not in name:
            hooks.append(module.register_forward_hook(sums_of(name)))
            scales[name] = float(module.weight.detach().abs().mean())
    with torch.inference_mode():
        for images, _ in _test_images(trial):
            forward(network, images)
    for hook in hooks:
        hook.remove()
    names = list(sums)
    stds = [(square / count - (total / count) ** 2) ** 0.5 for count, total, square in sums.values()]
    return {
        **curves(trial),
        "layers": names,
        "std": stds,
        "scale": [scales[name] for name in names],
        "mean_std": sum(stds) / len(stds),
    }


def gradient_flow(trial: Trial) -> Measured:
    """Norm of the loss's gradient by each convolution's weight, on the first batch, before and during training.

    Norms are divided by those of the weights, so that layers of different sizes can be compared.
    """
    batch = trial.first_batch()
    networks = {0: trial.initial_network()} | {step: trial.network_at(step) for step in trial.snapshot_steps()}
    flows: dict[str, list[float]] = {}
    names: list[str] = []
    for step, network in networks.items():
        network.train()
        loss = F.cross_entropy(network(batch["inputs"]), batch["labels"])
        loss.backward()  # type: ignore[no-untyped-call]
        convolutions = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
        names = [name for name, m in convolutions if "downsample" not in name]
        flows[str(step)] = [
            float(m.weight.grad.norm() / m.weight.detach().norm())
            for name, m in convolutions
            if "downsample" not in name and m.weight.grad is not None
        ]
    start = flows["0"]
    return {
        **curves(trial),
        "layers": names,
        "flow": flows,
        "first_over_last": start[0] / start[-1] if start[-1] else float("inf"),
    }


def lesion(trial: Trial) -> Measured:
    """Test error with each single block taken out, and with pairs of blocks of a stage swapped (Veit et al. 2016).

    Errors with swapped blocks are means over `SWAPS` random choices of the pairs. Blocks that change the shape stay in
    place. Measured on `IMAGES` of the test images, evenly spaced.
    """
    network = trial.network.eval()
    images = list(_test_images(trial, IMAGES))
    whole = _error(network, images)
    removed: dict[str, float] = {}
    movable: list[tuple[nn.Sequential, list[int]]] = []
    for stage_name in network.stage_names:
        stage = network.get_submodule(stage_name)
        assert isinstance(stage, nn.Sequential)
        numbers = [i for i in range(len(stage)) if i > 0 or _keeps_shape(network, f"{stage_name}.0")]
        movable.append((stage, numbers))
        for number in numbers:
            block = stage[number]
            stage[number] = nn.Identity()
            removed[f"{stage_name}.{number}"] = _error(network, images)
            stage[number] = block
    g = torch.Generator().manual_seed(0)
    swapped: list[float] = []
    pairs = [(stage, numbers) for stage, numbers in movable if len(numbers) > 1]
    originals = [list(stage) for stage, _ in movable]
    for count in range(1, 6) if pairs else ():
        errors = []
        for _ in range(SWAPS):
            for _ in range(count):
                stage, numbers = pairs[int(torch.randint(len(pairs), (), generator=g))]
                i, j = (numbers[int(k)] for k in torch.randperm(len(numbers), generator=g)[:2])
                stage[i], stage[j] = stage[j], stage[i]
            errors.append(_error(network, images))
            for (stage, _), blocks in zip(movable, originals, strict=True):
                for number, block in enumerate(blocks):
                    stage[number] = block
        swapped.append(sum(errors) / SWAPS)
    return {
        **curves(trial),
        "whole_error": whole,
        "removed": removed,
        "swapped": swapped,
        "mean_removed_error": sum(removed.values()) / max(len(removed), 1),
        "worst_removed_error": max(removed.values(), default=whole),
    }


def shattered_gradients(trial: Trial) -> Measured:
    """Autocorrelation of gradients along a line of inputs, at initialisation (Balduzzi et al. 2017, section 2).

    The line goes from the first test image to the last in 256 steps; the gradient is of the sum of the logits by the
    input. Correlations are means over input positions; a net whose gradients resemble white noise has none.
    """
    network = trial.initial_network().train()
    ends = next(_test_images(trial, 2))[0]
    line = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, 256)[:, None, None, None]).requires_grad_()
    network(line).sum().backward()
    assert line.grad is not None
    gradients = line.grad.flatten(1).double()
    centered = gradients - gradients.mean(0)
    variance = centered.square().mean(0)
    alive = variance > 0
    lags = list(range(0, 33))
    correlation = [
        float(((centered[lag:] * centered[: len(centered) - lag]).mean(0)[alive] / variance[alive]).mean())
        for lag in lags
    ]
    return {"lags": lags, "correlation": correlation, "lag1": correlation[1], "lag8": correlation[8]}


def _keeps_shape(network: ResNet, block: str) -> bool:
    return not dict(network.spec.blocks())[block].changes


def _test_images(trial: Trial, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of test images as the net gets them, (N, C, H, W) floats, and labels, (N,): all that can be read.

    Args:
        most: take at most this many, evenly spaced, since the images of a class often lie together.
    """
    recipe, data = trial.resolved
    reader = open_reader(recipe.preprocessing)
    predictor = NetworkPredictor(nn.Identity(), task_of(recipe), reader, prepared=data.read_test.prepared)
    numbers = np.array([i for i in range(len(data.test)) if i not in data.read_test.damaged])
    if most is not None:
        numbers = numbers[evenly_spaced(len(numbers), most)]
    for part in np.split(numbers, range(BATCH, len(numbers), BATCH)):
        inputs = np.stack([predictor.load(data.test, int(i)).inputs[0] for i in part])
        yield reader.normalize(torch.from_numpy(inputs)), torch.from_numpy(data.test.targets["labels"][part])


@torch.inference_mode()
def _error(network: ResNet, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    wrong = torch.cat([forward(network, images).argmax(1) != labels for images, labels in batches])
    return float(wrong.double().mean())
