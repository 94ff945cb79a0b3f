"""Where a training step's time goes on the CPU: our step and the default's (eager float32), by kind of operation.

    PYTHONPATH=src python benchmarks/step_profile.py [--cases resnet18:32 ...] [--steps 10]

Milliseconds a step that torch's profiler finds in each operation itself; each side has its own process. The
profiler slows small steps: read the proportions here, and the speeds in training.py.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
from pathlib import Path

import torch

from resnets.training import environment
from training import CPU_CASES, DEFAULT, OURS, Case, by_hand, by_the_loop

# Kind of operation by a part of its name; the first that fits counts.
KINDS = {
    "convolution": "convolutions",
    "batch_norm": "batch norm",
    "pool": "pooling",
    "threshold": "ReLU",
    "clamp_min": "ReLU",
    "relu": "ReLU",
    "mm": "classifier",
    "foreach": "optimiser and guard",
    "sgd": "optimiser and guard",
    "norm": "optimiser and guard",
    "copy_": "casts and copies",
    "add": "additions",
}


def measure(case: Case, contestant: str, steps: int) -> dict[str, float]:
    """Milliseconds a step by kind of operation, and in all."""
    step = by_the_loop(case) if contestant == OURS else by_hand(case, False, False, None, False)
    for _ in range(5):
        step()
    with torch.profiler.profile() as profile:
        for _ in range(steps):
            step()
    spent = {"all": 0.0} | dict.fromkeys((*KINDS.values(), "the rest"), 0.0)
    for each in profile.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in each.key.lower()), "the rest")
        for name in (kind, "all"):
            spent[name] += each.self_cpu_time_total / 1e3 / steps
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=CPU_CASES)
    parser.add_argument("--size", type=int, help="of the images, instead of the usual")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    here = environment.choose("cpu")
    date = datetime.date.today().isoformat()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for text in given.cases:
        case = Case.parse(text, given.size)
        spent = {}
        for contestant in (OURS, DEFAULT):
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                spent[contestant] = alone.apply(measure, (case, contestant, given.steps))
        found[text] = spent
        print(f"\n{text:24} {OURS:>10} {'default':>10} {'ratio':>7}")
        for kind, ours in spent[OURS].items():
            theirs = spent[DEFAULT][kind]
            print(f"{kind:24} {ours:7.1f} ms {theirs:7.1f} ms {theirs / ours if ours else 0:6.2f}x")
    given.out.mkdir(parents=True, exist_ok=True)
    facts = {"date": date, "hardware": here.hardware, "torch": here.torch, "milliseconds": found}
    (given.out / f"{date}-step-profile.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
