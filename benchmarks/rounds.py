"""Us and the peers in turn, A B C A B C ..., as every claim of speed here is made.

A contestant repeats its work for about `seconds`, which gives its rate. The claim is the ratio of medians over rounds,
to the best peer and to the peer's default; the absolute figures depend on the machine. Where one contestant would
affect another (memory, threads, compiler), each has its own process: `remote`.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from resnets.training import environment, memory

# Contexts that last until the process ends. A context manager without a reference would end at once.
_FOREVER = ExitStack()


def allocate_as_runs_do(device: str, *, limited: bool = False) -> None:
    """Sets the allocator as training does, until the process ends."""
    _FOREVER.enter_context(memory.allocation(device, limited=limited))


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Args:
        clock: does the work a given number of times and returns the seconds.
        images: how many the work processes.
        ours: whether it is this library.
        default: whether it is a peer with its default settings.
    """

    name: str
    clock: Callable[[int], float]
    images: int
    ours: bool = False
    default: bool = False


def clock(once: Callable[[], object], times: int) -> float:
    """Seconds for `times` calls of `once`; on CUDA between two events of the device."""
    if torch.cuda.is_available():
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(times):
            once()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    started = time.perf_counter()
    for _ in range(times):
        once()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Remote:
    """Work in its own process."""

    pipe: Connection

    def clock(self, times: int) -> float:
        return float(self._ask("clock", times))

    def result(self) -> Any:
        """What the work returned last, as a float."""
        return self._ask("result", 0)

    def peak(self) -> int:
        """Peak memory of its process so far, in bytes; on CUDA what torch allocated there."""
        return int(self._ask("peak", 0))

    def _ask(self, what: str, times: int) -> Any:
        self.pipe.send((what, times))
        return self.pipe.recv()


@contextmanager
def remote(build: Callable[..., Callable[[], Any]], *arguments: Any) -> Iterator[Remote]:
    """Context manager: a process that calls what `build(*arguments)` returns."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, build, arguments))
    process.start()
    there.close()
    try:
        yield Remote(here)
    finally:
        here.close()
        process.join()


def _serve(pipe: Connection, build: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    once = build(*arguments)
    result: Any = None

    def work() -> None:
        nonlocal result
        result = once()

    while True:
        try:
            what, times = pipe.recv()
        except EOFError:
            return
        if what == "clock":
            pipe.send(clock(work, times))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # the others take turns on the same device
        elif what == "result":
            pipe.send(float(result))
        else:
            pipe.send(memory.highest(torch.device("cuda" if torch.cuda.is_available() else "cpu")))


def parser_for(description: str | None, seconds: float = 2.0) -> argparse.ArgumentParser:
    """The arguments that all scripts of rounds share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=seconds, help="for each contestant in each round")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    return parser


def compete(title: str, contestants: Sequence[Contestant], rounds: int, seconds: float) -> dict[str, Any]:
    """Returns images a second of each contestant in each round, and the ratios."""
    times = {}
    for each in contestants:
        each.clock(4)  # a CUDA graph is captured at the fourth step
        times[each.name] = max(1, round(seconds / each.clock(1)))
    rates: dict[str, list[float]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            gc.collect()
            rates[each.name].append(times[each.name] * each.images / each.clock(times[each.name]))
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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{path.name} on {here.hardware}, {torch.get_num_threads()} threads")
