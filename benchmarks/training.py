"""C3: the training step on the CPU against eager torch and torch.compile.

    python benchmarks/training.py [--rounds 5] [--cases resnet18:32 resnet50:32 cifar_resnet20:128] [--size N]

Ours is the loop's own step, with its guard against numbers that are not finite; the peers' are written by hand as
users write them. All begin with the same weights and batch; after the first step the losses are compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import resnets
from resnets.preprocessing import Preprocessing
from resnets.recipes import paper
from resnets.tasks.classification import Classification
from resnets.training import environment
from resnets.training.loop import Training
from rounds import Contestant, compete, parser_for, report


def by_hand(
    network: nn.Module, batch: dict[str, Tensor], *, bf16: bool, channels_last: bool, compiled: bool
) -> Callable[[], float]:
    """A step as torchvision's reference has it, with the usual improvements where asked for."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = copy.deepcopy(network).train().to(memory_format=layout)  # type: ignore[call-overload]
    images = batch["images"].contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    run: Any = torch.compile(network) if compiled else network

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            loss = nn.functional.cross_entropy(run(images), batch["labels"])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    parser = parser_for(__doc__, 3.0)
    parser.add_argument("--cases", nargs="+", default=["resnet18:32", "resnet50:32", "cifar_resnet20:128"])
    parser.add_argument("--size", type=int, help="of the pictures, in place of the usual")
    given = parser.parse_args()
    results = []
    for case in given.cases:
        name, _, count = case.partition(":")
        batch_size = int(count)
        network = resnets.create(name)
        size = given.size or network.spec.usual_size
        g = torch.Generator().manual_seed(0)
        batch = {
            "images": torch.randn(batch_size, 3, size, size, generator=g),
            "labels": torch.randint(network.spec.classes, (batch_size,), generator=g),
        }
        recipe = replace(
            paper.cifar(),
            model=network.spec,
            preprocessing=Preprocessing(resize=size, crop=size),
            normalize="given",
            batch=batch_size,
            steps=10**6,
        )
        ours = Training(recipe, environment.choose("cpu"), Classification(), copy.deepcopy(network), samples=batch_size)
        steps: dict[str, Callable[[], float]] = {
            "eager fp32 (default)": by_hand(network, batch, bf16=False, channels_last=False, compiled=False),
            "eager bf16, channels last": by_hand(network, batch, bf16=True, channels_last=True, compiled=False),
            "torch.compile bf16, channels last": by_hand(network, batch, bf16=True, channels_last=True, compiled=True),
            "resnets": lambda: float(ours.step(batch)),  # noqa: B023
        }
        losses = {way: step() for way, step in steps.items()}
        print(case, losses, flush=True)
        assert max(losses.values()) - min(losses.values()) < 0.05, losses
        found = [Contestant(n, s, batch_size, ours=n == "resnets", default="default" in n) for n, s in steps.items()]
        title = f"C3: training step of {name} at {size}, batch {batch_size}"
        results.append(compete(title, found, given.rounds, given.seconds))
    report(given.out, "training", results, ())


if __name__ == "__main__":
    main()
