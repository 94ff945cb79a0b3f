"""C3, G1 and G3: the training step against eager torch, torch.compile and timm; its rate and its peak of memory.

    PYTHONPATH=src python benchmarks/training.py [--rounds 5] [--cases resnet50:32 ...] [--memory 0.6] [--size N]

Ours is the step of the training loop, with its check for non-finite gradients; the peers' are written by hand as users
write them, with torchvision's networks or, for CIFAR, ours with the shortcuts of the open CIFAR nets. Each runs in its
own process, since the allocator settings of the loop would affect all in one process. All begin with the same weights
and batch; after the first step the losses are compared. Where there is a CUDA device, it is used, by our step also in a
CUDA graph. With --memory, one more contestant has a memory limit of that share of what eager bf16 took. A peer that is
not installed or fails is left out and printed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import resnets
from resnets.modalities.batch import Batch
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.nn.shortcuts import ZeroPad
from resnets.recipes import paper
from resnets.tasks.classification.task import Classification
from resnets.training import environment, memory
from resnets.training.step import Training
from rounds import Contestant, Remote, allocate_as_runs_do, compete, parser_for, remote, report

CPU_CASES = ["resnet18:32", "resnet50:32", "cifar_resnet20:128"]
CUDA_CASES = ["resnet50:256", "cifar_resnet1202:128"]
OURS, DEFAULT, EAGER = "resnets", "eager fp32 (default)", "eager bf16, channels last"


@dataclass(frozen=True)
class Case:
    """A network by name, images a step, and their height and width."""

    model: str
    batch: int
    size: int

    @classmethod
    def parse(cls, text: str, size: int | None) -> Case:
        """The case that MODEL:BATCH names, at the model's usual size where none is given."""
        name, _, count = text.partition(":")
        return cls(name, int(count), size or resnets.describe(name).spec.usual_size)

    def images(self, classes: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch, 3, self.size, self.size, generator=g)
        return images, torch.randint(classes, (self.batch,), generator=g)


class Sliced(nn.Module):
    """Shortcut A as open CIFAR nets have it."""

    def __init__(self, own: ZeroPad) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(
            x[:, :, :: self.own.stride, :: self.own.stride], (0, 0, 0, 0, self.own.before, self.own.after)
        )


def by_hand(case: Case, bf16: bool, channels_last: bool, compiler: str | None, timm: bool) -> Callable[[], Tensor]:
    """A function that makes a step as torchvision's reference does, with the usual improvements where asked for."""
    device = environment.choose().device
    own = resnets.create(case.model)
    images, labels = (each.to(device) for each in case.images(own.spec.classes))
    network: nn.Module = own
    if timm:
        network = importlib.import_module("timm").create_model(case.model, pretrained=False)
        network.load_state_dict(own.state_dict())
    elif not case.model.startswith("cifar"):
        network = importlib.import_module("torchvision.models").get_model(case.model)
        network.load_state_dict(own.state_dict())
    for block in network.modules():
        if isinstance(shortcut := getattr(block, "downsample", None), ZeroPad):
            block.downsample = Sliced(shortcut)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.train().to(device, memory_format=layout)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(network, mode=compiler) if compiler else network

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss = nn.functional.cross_entropy(run(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


def by_the_loop(case: Case, memory_limit: str | None = None, cuda_graph: bool = False) -> Callable[[], Tensor]:
    """A function that makes a step of the training loop, in the environment that it chooses itself."""
    here = environment.choose()
    network = resnets.create(case.model)
    recipe = replace(
        paper.cifar(),
        model=network.spec,
        preprocessing=Preprocessing(resize=case.size, crop=case.size),
        normalize="given",
        batch=case.batch,
        steps=10**6,
        memory_limit=memory_limit,
        cuda_graph=cuda_graph,
    )
    allocate_as_runs_do(here.device, limited=memory_limit is not None)
    training = Training(recipe, here, Classification(), network, samples=case.batch)
    memory.keep_within_limit(training)
    images, labels = (each.to(training.device) for each in case.images(network.spec.classes))
    batch = Batch({"inputs": images, "labels": labels})
    return lambda: training.step(batch)


def peers(case: Case, compiler: str) -> dict[str, tuple[object, ...]]:
    """Arguments of `by_hand` by peer: case, bf16, channels last, the compiler's mode, timm's network."""
    found: dict[str, tuple[object, ...]] = {
        DEFAULT: (case, False, False, None, False),
        EAGER: (case, True, True, None, False),
    }
    if compiler != "none":
        found[f"torch.compile ({compiler}) bf16, channels last"] = (case, True, True, compiler, False)
    if torch.cuda.is_available() and importlib.util.find_spec("timm") and not case.model.startswith("cifar"):
        found["timm bf16, channels last"] = (case, True, True, None, True)
    return found


def those_that_run(found: dict[str, Remote]) -> dict[str, Remote]:
    """Returns the contestants whose process survives a step, and prints the others.

    Raises:
        EOFError: ours or the default failed.
    """
    alive = {}
    for name, each in found.items():
        try:
            each.clock(1)
            alive[name] = each
        except EOFError:
            print(f"{name} failed and is left out; its process printed why", flush=True)
            if name in (OURS, DEFAULT):
                raise
    return alive


def main() -> None:
    parser = parser_for(__doc__, 3.0)
    parser.add_argument("--cases", nargs="+", default=CUDA_CASES if torch.cuda.is_available() else CPU_CASES)
    parser.add_argument("--size", type=int, help="of the images, instead of the usual")
    parser.add_argument("--memory", type=float, help="also measure ours with a limit of this share of eager's peak")
    mode = "max-autotune" if torch.cuda.is_available() else "default"
    parser.add_argument("--compiler", default=mode, help="torch.compile's mode, or none to leave it out")
    given = parser.parse_args()
    results = []
    for text in given.cases:
        case = Case.parse(text, given.size)
        with contextlib.ExitStack() as stack:
            found: dict[str, Remote] = {
                name: stack.enter_context(remote(by_hand, *arguments))
                for name, arguments in peers(case, given.compiler).items()
            }
            found[OURS] = stack.enter_context(remote(by_the_loop, case))
            if torch.cuda.is_available():
                found[f"{OURS}, CUDA graph"] = stack.enter_context(remote(by_the_loop, case, None, True))
            found = those_that_run(found)
            if given.memory:
                limit = round(given.memory * found[EAGER].peak() / 2**20)
                limited = stack.enter_context(remote(by_the_loop, case, f"{limit}MiB"))
                found |= those_that_run({f"{OURS} within {limit} MiB": limited})
            losses = {name: each.result() for name, each in found.items()}
            print(text, losses, flush=True)
            assert max(losses.values()) - min(losses.values()) < 0.05, losses
            contestants = [
                Contestant(name, each.clock, case.batch, ours=name.startswith(OURS), default=name == DEFAULT)
                for name, each in found.items()
            ]
            title = f"Training step of {case.model} at {case.size}, batch {case.batch}"
            result = compete(title, contestants, given.rounds, given.seconds)
            peaks = {name: each.peak() for name, each in found.items()}
        print({name: f"{peak / 2**20:.0f} MiB" for name, peak in peaks.items()}, flush=True)
        results.append(result | {"peak_memory_bytes": peaks})
    report(given.out, "training", results, ())


if __name__ == "__main__":
    main()
