"""Us and the peers in turn, A B C A B C ..., as every claim of speed here is made.

A contestant is a function that works for about `seconds` and returns its rate. The claim is the ratio of medians over
rounds, to the best peer and to the peer's default; the machine's absolute figures are noise.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnets.training import environment


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Args:
        once: does the work once.
        images: that this takes in.
        ours: whether it is this library's.
        default: whether it is what a user of a peer gets who sets nothing.
    """

    name: str
    once: Callable[[], object]
    images: int
    ours: bool = False
    default: bool = False


def parser_for(description: str | None, seconds: float = 2.0) -> argparse.ArgumentParser:
    """What every script of rounds is told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each contestant in each round")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    return parser


def compete(title: str, contestants: Sequence[Contestant], rounds: int, seconds: float) -> dict[str, Any]:
    """Images a second of each contestant in each round, and the ratios."""
    for each in contestants:
        each.once()
        each.once()
    rates: dict[str, list[float]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            gc.collect()
            done, started = 0, time.perf_counter()
            while not done or time.perf_counter() - started < seconds:
                each.once()
                done += 1
            rates[each.name].append(done * each.images / (time.perf_counter() - started))
    return {"title": title, "rates": rates, **ratios(contestants, rates)}


def ratios(contestants: Sequence[Contestant], rates: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ours = max((each.name for each in contestants if each.ours), key=medians.__getitem__)
    best = max((each.name for each in contestants if not each.ours), key=medians.__getitem__)
    default = next(each.name for each in contestants if each.default)
    return {
        "medians": medians,
        "ours": ours,
        "best_peer": best,
        "to_best_peer": medians[ours] / medians[best],
        "to_default": medians[ours] / medians[default],
    }


def report(out: Path, name: str, results: Sequence[dict[str, Any]], packages: Sequence[str], **facts: Any) -> None:
    """Prints the results and writes them to `out`/DATE-NAME.json."""
    here = environment.choose("auto")
    found = {
        "date": datetime.date.today().isoformat(),
        "hardware": here.hardware,
        "versions": {p: importlib.metadata.version(p) for p in ("torch", *packages)},
        **facts,
        "results": list(results),
    }
    for result in results:
        print(f"\n{result['title']}")
        for contestant, median in sorted(result["medians"].items(), key=lambda item: -item[1]):
            mark = "*" if contestant == result["ours"] else " "
            print(f" {mark} {contestant:44} {median:9.1f} images/s")
        print(f"   {result['to_best_peer']:.2f}x {result['best_peer']}, {result['to_default']:.2f}x the default")
    path = out / f"{found['date']}-{name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{path.name} on {here.hardware}, {torch.get_num_threads()} threads")
