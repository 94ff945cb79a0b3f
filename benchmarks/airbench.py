"""The scripts of cifar10-airbench (Jordan 2024), with the fewest changes that make them comparable.

Changed are: only the last evaluation, the number of epochs, the seed, and a pause after every step. The small network
by which airbench96_faster chooses its images makes each step when that choice is needed, instead of all of them
beforehand, which changes no number. Where there is no CUDA device also: the CPU instead, float32 weights under bf16
autocast instead of float16, and torch.compile without autotuning.
"""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Changes = tuple[tuple[str, str], ...]
Names = dict[str, Any]
Steps = Generator[None, None, float]

MODE = "max-autotune" if torch.cuda.is_available() else None


@dataclass(frozen=True)
class Script:
    """One of the scripts.

    Args:
        name: of the file, without `.py`.
        batch: images a step.
        changes, on_cpu: of its text, as pairs of old and new.
        main: its training, given the names that its text defines.
    """

    name: str
    batch: int
    changes: Changes
    on_cpu: Changes
    main: Callable[[Names], Steps]

    def run(self, checkout: Path, images: Path, epochs: float, seed: int) -> Steps:
        """Generator: a training step at a time on `images` (a folder of train.pt and test.pt); returns the accuracy."""
        text = (checkout / f"{self.name}.py").read_text().split('if __name__ == "__main__":')[0]
        changes = BOTH + self.changes
        if not torch.cuda.is_available():
            changes += BOTH_ON_CPU + self.on_cpu
        for old, new in changes:
            if old not in text:
                raise SystemExit(f"{self.name}.py is not the version that this script knows: it lacks {old!r}.")
            text = text.replace(old, new)
        names = {"Event": _Event, "autocast": _autocast, "math": math, "IMAGES": str(images), "EPOCHS": epochs}
        exec(compile(text, self.name, "exec"), names)
        torch.manual_seed(seed)
        random.seed(seed)
        return (yield from self.main(names))


class _Event:
    """The interface of a CUDA event with the CPU's clock."""

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, later: _Event) -> float:
        return 1e3 * (later.at - self.at)


def _autocast(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(forward)
    def cast(*arguments: Any, **named: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(*arguments, **named).float()

    return cast


def _main_94(names: Names) -> Steps:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = names["CifarNet"]().to(device, memory_format=torch.channels_last)
    model.compile(mode=MODE)
    return (yield from names["main"](0, model))  # type: ignore[no-any-return]


def _main_96(names: Names) -> Steps:
    hyp = names["hyp"]
    proxy, *nets = [names["make_net"](hyp[name]) for name in ("proxy", "net", "net")]
    for frozen in (proxy, nets[1]):
        frozen[0].bias.requires_grad = False
    compiled = [torch.compile(net, mode=MODE) for net in (proxy, *nets)]
    return (yield from names["main"](0, hyp, *compiled))  # type: ignore[no-any-return]


BOTH: Changes = (("val_acc = evaluate(model, test_loader, tta_level=0)", "val_acc = math.nan"),)
BOTH_ON_CPU: Changes = (
    (".half()", ".float()"),
    ("torch.cuda.Event(enable_timing=True)", "Event()"),
    ("torch.cuda.synchronize()", "None"),
)

TO_94 = Script(
    name="airbench94_muon",
    batch=2000,
    changes=(
        ("with open(sys.argv[0]) as f:\n    code = f.read()\n", ""),
        ('CifarLoader("cifar10"', "CifarLoader(IMAGES"),
        ("ceil(8 * len(train_loader))", "ceil(EPOCHS * len(train_loader))"),
        ("            step += 1\n", "            step += 1\n            yield\n"),
    ),
    on_cpu=(
        ('torch.device("cuda")', 'torch.device("cpu")'),
        ("    def forward(self, x, whiten_bias", "    @autocast\n    def forward(self, x, whiten_bias"),
    ),
    main=_main_94,
)

TO_96 = Script(
    name="airbench96_faster",
    batch=1024,
    changes=(
        ("InfiniteCifarLoader('cifar10'", "InfiniteCifarLoader(IMAGES"),
        ("'train_epochs': 45.0", "'train_epochs': EPOCHS"),
        (
            "        current_steps += 1\n        if current_steps == total",
            "        current_steps += 1\n        yield mask\n        if current_steps == total",
        ),
        (
            "        current_steps += 1\n        if current_steps % 5",
            "        current_steps += 1\n        yield\n        if current_steps % 5",
        ),
    ),
    on_cpu=(
        (".cuda()", ""),
        ("map_location='cuda'", "map_location='cpu'"),
        ("net = nn.Sequential(", "net = type('Net', (nn.Sequential,), {'forward': autocast(nn.Sequential.forward)})("),
    ),
    main=_main_96,
)
