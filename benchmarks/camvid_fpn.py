"""Segmentation of CamVid by `segmentation/fpn`, next to segmentation-models-pytorch's `FPN("resnet18")`.

    python benchmarks/camvid_fpn.py CAMVID WEIGHTS FOLDER [--seeds 0 1 2] [--out FILE]

CAMVID is the whole set as SegNet's tutorial has it: train/ and trainannot/ (367), val (101) and test (233) likewise, of
480 x 360 pixels, with labels 0 to 10 and void 11; WEIGHTS are an ImageNet ResNet-18 in torchvision's keys, with which
both encoders begin. Both train 2,000 steps of 8 crops of 320 x 256 (width x height): the batches of a seed are the
same, made by our loader, and so are optimizer, rates, loss, weights of classes and precision. Both are scored at
480 x 360 by one line of NumPy. The 95% interval of the mean difference, over seeds, is that of the percentiles of 2,000
draws of test images. A run that was stopped goes on; results are appended to --out, a line each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

import resnets
from camvid import CLASSES, VOID, read
from photographs_runs import Lines
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.read.mask import VOID as IGNORED
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.inputs import open_reader
from resnets.tasks.balance import loss_weights
from resnets.training.plan import read_plan
from resnets.training.schedules import factor

DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path, help="of the runs and answers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "camvid-fpn.jsonl")
    given = parser.parse_args()
    lines, command = Lines(given.out), ["python", "benchmarks/camvid_fpn.py", *sys.argv[1:]]
    images = sorted((given.camvid / "test").glob("*.png"))
    truth = [read(given.camvid / "testannot" / path.name) for path in images]
    for seed in given.seeds:
        run, answers = given.folder / f"run-{seed}", given.folder / f"answers-{seed}"
        if (key := f"resnets {seed}") not in lines:
            train(run, given, seed)
            resnets.predict(run, *images, out=answers)
            found = [read(answers / path.name) for path in images]
            lines.add(key, command, {**scored(truth, found), "seed": seed})
        if (key := f"smp {seed}") not in lines:
            network = peer(run, given.weights, seed)
            found = [answer(network, path, run) for path in images]
            lines.add(key, command, {**scored(truth, found), "seed": seed})
    known = lines.all()
    ours, theirs = ([known[f"{who} {seed}"] for seed in given.seeds] for who in ("resnets", "smp"))
    low, high = interval(ours, theirs)
    means = [float(np.mean([each["miou"] for each in side])) for side in (ours, theirs)]
    lines.add(
        f"difference of seeds {given.seeds}", command,
        {"resnets": means[0], "smp": means[1], "difference": means[0] - means[1], "interval": [low, high]},
    )  # fmt: skip


def train(run: Path, given: argparse.Namespace, seed: int) -> None:
    if (run / "recipe.json").exists():
        resnets.resume(run)
        return
    resnets.train(
        "segmentation/fpn", f"task.ignore={VOID}", data=str(given.camvid), weights=str(given.weights), seed=seed,
        out=run,
    )  # fmt: skip


def peer(run: Path, weights: Path, seed: int) -> nn.Module:
    """SMP's network, trained on the batches of `run` with its settings."""
    torch.manual_seed(seed)
    recipe = read_plan(run / "recipe.json").recipe
    network: Any = smp.FPN("resnet18", encoder_weights=None, classes=CLASSES)
    state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
    network.encoder.load_state_dict({name: each for name, each in state.items() if not name.startswith("fc.")})
    data = recipe.task.adapt(open_dataset(recipe.data, recipe.format)).train
    steps, batch = recipe.steps or 0, recipe.batch
    batches = Batches(
        data, sampler=EpochSampler(len(data), batch, seed=recipe.seed),
        reader=open_reader(recipe.preprocessing, recipe.augmentations), seed=recipe.seed, bn_batch=batch,
        device=torch.device("cpu"), rows=slice(0, batch),
    )  # fmt: skip
    settings: Any = recipe.optimizer
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, settings.lr, (settings.beta1, settings.beta2), settings.eps)
    weights_of = torch.tensor(loss_weights(recipe.balance, recipe.task, data))
    network.train().to(memory_format=torch.channels_last)
    done, first = run.parent / f"smp-{seed}.pt", 0
    if done.exists():
        first, weights_then, momenta, random = torch.load(done, weights_only=True)
        network.load_state_dict(weights_then)
        optimizer.load_state_dict(momenta)
        torch.set_rng_state(random)
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * factor(recipe.schedule, step / steps)
        made = batches.make(step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(made["inputs"].to(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), made["masks"].long(), weight=weights_of, ignore_index=IGNORED)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"smp {seed}: step {step + 1:,} of {steps:,}, loss {loss.item():.3f}", flush=True)
            state = (step + 1, network.state_dict(), optimizer.state_dict(), torch.get_rng_state())
            torch.save(state, partial := done.with_suffix(".partial"))
            partial.replace(done)
    trained: nn.Module = network.eval()
    return trained


@torch.inference_mode()
def answer(network: nn.Module, path: Path, run: Path) -> NDArray[np.int64]:
    """The classes of the pixels of an image, which is padded to sides of which SMP's encoder can halve five times."""
    settings: Any = read_plan(run / "recipe.json").recipe.preprocessing
    pixels = torch.from_numpy(np.array(open_image(path, "RGB"))).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(each)[:, None, None] for each in (settings.mean, settings.std))
    inputs: Tensor = (pixels - mean) / std
    height, width = inputs.shape[2:]
    padded = F.pad(inputs, (0, -width % 32, 0, -height % 32))
    return np.asarray(network(padded)[0, :, :height, :width].argmax(0).numpy())


def scored(truth: list[NDArray[np.int64]], found: list[NDArray[np.int64]]) -> dict[str, Any]:
    """The mean IoU, and of each image what it is made of: (images, classes) counts of both and of either."""
    both, either = (np.zeros((len(truth), CLASSES), np.int64) for _ in range(2))
    for row, (true, answered) in enumerate(zip(truth, found, strict=True)):
        counts = true != VOID
        for number in range(CLASSES):
            a, b = (true == number) & counts, (answered == number) & counts
            both[row, number], either[row, number] = (a & b).sum(), (a | b).sum()
    return {"miou": mean_iou(both, either), "both": both.tolist(), "either": either.tolist()}


def mean_iou(both: NDArray[np.int64], either: NDArray[np.int64]) -> float:
    """Over the classes that occur, of counts (images, classes)."""
    all_both, all_either = both.sum(0), either.sum(0)
    return float((all_both / np.maximum(all_either, 1))[all_either > 0].mean())


def interval(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> tuple[float, float]:
    """Percentiles of the mean difference over seeds when images are drawn with replacement."""
    counts = [[(np.array(each["both"]), np.array(each["either"])) for each in side] for side in (ours, theirs)]
    random = np.random.default_rng(0)
    images = len(counts[0][0][0])
    differences = []
    for _ in range(DRAWS):
        rows = random.integers(0, images, images)
        means = [np.mean([mean_iou(both[rows], either[rows]) for both, either in side]) for side in counts]
        differences.append(means[0] - means[1])
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
