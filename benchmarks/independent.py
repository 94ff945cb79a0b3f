"""paper/cifar against an independent implementation of the same network: akamaster/pytorch_resnet_cifar10.

    git clone https://github.com/akamaster/pytorch_resnet_cifar10
    python benchmarks/independent.py losses pytorch_resnet_cifar10 CIFAR_FOLDER
    python benchmarks/independent.py train pytorch_resnet_cifar10 CIFAR_FOLDER --seed 0 --out seed-0.json
    resnets reproduce table6 --models cifar_resnet20 --seeds 5 --epochs 10 --data CIFAR_FOLDER --out OURS
    python benchmarks/independent.py compare OURS/results.json seed-*.json

`losses` puts our initial weights into their network, feeds it our batches, and sets the losses of both side by side.
`train` is their training (their network, initialisation, transforms, loader and optimiser, float32) with two changes:
it runs on the CPU, and the schedule is shortened to `--epochs`, with its drops at a half and three quarters as theirs
are. `compare` sets the test errors of the last epochs side by side. The images are a folder of train/CLASS/* and
test/CLASS/*.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import datasets, transforms


def their_network(checkout: str) -> nn.Module:
    """Their 20 layers, with their initialisation."""
    sys.path.insert(0, checkout)
    network = importlib.import_module("resnet").resnet20()
    assert isinstance(network, nn.Module)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def losses(given: argparse.Namespace) -> dict[str, object]:
    """The losses of both over the first steps, in float32.

    Measured twice: as both are, and with the same kernels of torch for the last pooling and the optimiser's step, which
    round differently from those that they call. At this learning rate, training amplifies rounding fast.
    """
    found: dict[str, object] = {"steps": given.steps}
    for name, same_kernels in (("as they are", False), ("same kernels", True)):
        pairs = _losses(given, same_kernels)
        differences = [abs(ours - theirs) for ours, theirs in pairs]
        found[name] = {
            "largest_difference": max(differences),
            "steps_within_1e-4": next((i for i, d in enumerate(differences) if d > 1e-4), given.steps),
            "ours_theirs": pairs,
        }
    return found


def _losses(given: argparse.Namespace, same_kernels: bool) -> list[tuple[float, float]]:
    from resnets.models.initialize import initialize
    from resnets.models.resnet import ResNet
    from resnets.recipes import paper
    from resnets.tasks.classification.task import Classification
    from resnets.training import build, environment, prepare
    from resnets.training.step import Training

    recipe, data = prepare.resolve(replace(paper.cifar(), data=given.data, precision="fp32", seed=given.seed))
    network = ResNet(recipe.model)
    initialize(network, seed=recipe.seed, how=recipe.initialization)
    theirs = their_network(given.checkout).train()
    own = network.state_dict().values()  # the layers are in the same order
    theirs.load_state_dict(dict(zip(theirs.state_dict(), own, strict=True)))
    ours = Training(recipe, environment.choose("cpu", "fp32"), Classification(), network, samples=len(data.train))
    optimizer = torch.optim.SGD(
        theirs.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, fused=True if same_kernels else None
    )
    pool = functools.partial(nn.functional.adaptive_avg_pool2d, output_size=1)
    kernels = mock.patch("torch.nn.functional.avg_pool2d", lambda x, size: pool(x)) if same_kernels else nullcontext()
    pairs = []
    with kernels:
        for batch in build.batches_for(recipe, data, device=torch.device("cpu")).between(0, given.steps):
            batch |= {"inputs": batch["inputs"].contiguous(memory_format=torch.channels_last)}
            loss = nn.functional.cross_entropy(theirs(batch["inputs"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            pairs.append((float(ours.step(batch)), loss.item()))
    return pairs


class Images(torch.utils.data.Dataset[tuple[object, int]]):
    """A folder of images, decoded once and held in memory as their dataset class holds CIFAR-10."""

    def __init__(self, folder: Path, transform: Callable[[Image.Image], object]) -> None:
        found = datasets.ImageFolder(folder)
        self.images = [np.asarray(found.loader(path)) for path, _ in found.samples]
        self.labels = found.targets
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[object, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def train(given: argparse.Namespace) -> dict[str, object]:
    """Their training, for `--epochs`; on CUDA where there is a device."""
    from resnets.training import environment

    torch.manual_seed(given.seed)
    random.seed(given.seed)
    device = environment.choose().device
    network = their_network(given.checkout).to(device)
    end = [transforms.ToTensor(), transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
    augment = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, 4)]
    folder = Path(given.data)
    training = Images(folder / "train", transforms.Compose([*augment, *end]))
    testing = Images(folder / "test", transforms.Compose(end))
    loader = torch.utils.data.DataLoader(training, batch_size=128, shuffle=True)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    total = given.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [total // 2, total * 3 // 4])
    start, errors = time.perf_counter(), []
    for epoch in range(given.epochs):
        network.train()
        for images, labels in loader:
            optimizer.zero_grad()
            images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
            loss = nn.functional.cross_entropy(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            wrong = sum(
                int((network(images.to(device)).argmax(1) != labels.to(device)).sum())
                for images, labels in torch.utils.data.DataLoader(testing, batch_size=128)
            )
        errors.append(wrong / len(testing))
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, test error {errors[-1]:.2%}", flush=True)
    return {"seed": given.seed, "test_error": errors, "seconds": time.perf_counter() - start}


def compare(given: argparse.Namespace) -> dict[str, object]:
    """Test errors of the last epoch, and how many standard errors of the difference lie between the means."""
    results = json.loads(Path(given.ours).read_text())
    ours = [run["final_test_error"] for net in results["nets"] for run in net["runs"]]
    theirs = [json.loads(Path(each).read_text())["test_error"][-1] for each in given.theirs]
    means = statistics.mean(ours), statistics.mean(theirs)
    error = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
    return {
        "ours": ours,
        "theirs": theirs,
        "means": means,
        "standard_error_of_the_difference": error,
        "standard_errors_apart": abs(means[0] - means[1]) / error,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (losses, train):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("checkout")
        command.add_argument("data")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--out", type=Path)
    commands.choices["losses"].add_argument("--steps", type=int, default=100)
    commands.choices["train"].add_argument("--epochs", type=int, default=10)
    command = commands.add_parser("compare", help=compare.__doc__)
    command.set_defaults(run=compare)
    command.add_argument("ours")
    command.add_argument("theirs", nargs="+")
    command.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = given.run(given)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    for value in found.values():
        if isinstance(value, dict):
            value.pop("ours_theirs", None)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
