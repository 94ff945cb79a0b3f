"""Our own speed before and after a change: an earlier commit against itself, then against the present tree.

    python benchmarks/against.py COMMIT [--rounds 5] [--minutes 30] [--only inference training ...]

Two copies of COMMIT are measured in turn, A A' A A' ..., which shows the machine's noise; then COMMIT and the present
tree, A B A B .... Each measurement (our side of C1 to C5, the loop, start-up) is a fresh process that runs the
`own_rates.py` of that tree's own commit, with that tree's `src` on its path: in earlier commits, modules and arguments
have other names. The command line and the names of the rates must therefore stay the same in every version of
`own_rates.py`; a rate that only one tree has is an error.

The claim is the ratio of medians over rounds, present by commit. A ratio is flagged where it is below 0.97 and below
the lowest ratio of the commit to itself. Each half stops when its time is over, after whole rounds: in 30 minutes on
two cores (2026-11-26, 3.6 minutes a round) three or four of them, so that five need --minutes 40. Results are written
after every round.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from own_rates import MEASUREMENTS
from trees import copy_present, git, unpack

SCRIPT = "own_rates.py"
LOWEST = 0.97
Rounds = dict[str, dict[str, list[float | None]]]  # by measurement, then by tree: its rate in each round


def call(tree: Path, *arguments: str) -> dict[str, float]:
    """Rates by the `own_rates.py` of `tree`, with the `resnets` of `tree`.

    Raises:
        RuntimeError: it failed; the message is the end of its standard error.
    """
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "RESNETS_CACHE": str(tree / "cache")}
    done = subprocess.run(
        [sys.executable, str(tree / "benchmarks" / SCRIPT), *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(trees: dict[str, Path], work: Path, given: argparse.Namespace, rounds: Rounds, errors: list[str]) -> None:
    """One round of every measurement, the trees in turn. Adds rates to `rounds`, and what failed to `errors`."""
    for name in given.only:
        names: dict[str, set[str]] = {}
        for label, tree in trees.items():
            model = tree / "run" / "model.safetensors"  # each tree keeps its exported graphs beside its own copy
            options = ["--model", str(model), "--size", str(given.size), "--seconds", str(given.seconds)]
            try:
                found = call(tree, name, str(work), *options, "--cases", *given.cases)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                errors.append(f"{name} of {label}: {error}")
                print(f"  {errors[-1]}", flush=True)
                continue
            names[label] = set(found)
            for rate, value in found.items():
                rounds.setdefault(rate, {}).setdefault(label, []).append(value)
        found_by_any = {rate for found_by_one in names.values() for rate in found_by_one}
        if missing := sorted(rate for rate in found_by_any if not all(rate in each for each in names.values())):
            errors.append(f"{name}: only one of the trees has {', '.join(missing)}")


def ratios(rounds: Rounds, first: str, second: str) -> dict[str, float]:
    """Ratios of the medians, `second` by `first`, of the rates that both have."""
    return {
        name: statistics.median(v for v in found[second] if v) / statistics.median(v for v in found[first] if v)
        for name, found in rounds.items()
        if first in found and second in found
    }


def machine() -> dict[str, Any]:
    names = ("torch", "torchvision", "numpy", "pillow", "openvino", "nncf")
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "hardware": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def report(found: dict[str, Any]) -> None:
    """Prints the ratios, and which of them are flagged."""
    to_itself, to_commit = found["ratios_to_itself"], found["ratios"]
    lowest = min([*to_itself.values(), 1.0])
    print(f"\n{'':36} {'itself':>8} {'present':>8}   the lowest of the commit to itself: {lowest:.3f}")
    for name, own in to_itself.items():
        ratio = to_commit.get(name)
        shown = "failed" if ratio is None else f"{ratio:.3f}"
        print(f"{name:36} {own:8.3f} {shown:>8}{'  <- to be explained' if name in found['flagged'] else ''}")
    for error in found["errors"]:
        print(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=30.0, help="of all of it")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate in each round, roughly")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--model", default="resnet50", help="of C1, C2, C5 and of starting to predict")
    parser.add_argument("--size", type=int, default=224, help="of its images, in pixels")
    parser.add_argument("--cases", nargs="+", default=["resnet18:32", "resnet50:32", "cifar_resnet20:128"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    started = time.monotonic()
    commit = git("rev-parse", "--verify", f"{given.commit}^{{commit}}").decode().strip()
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        **machine(),
        "commit": commit,
        "present": git("rev-parse", "HEAD").decode().strip(),
        "present_differs_from_its_commit": bool(git("status", "--porcelain", "src", "benchmarks").strip()),
        "seconds": given.seconds,
        "errors": [],
    }
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{found['date']}-against.json"
    with tempfile.TemporaryDirectory() as place:
        work = Path(place) / "work"
        before, twin = (unpack(commit, Path(place) / name, SCRIPT) for name in ("commit", "twin"))
        present = copy_present(Path(place) / "present")
        # The older tree makes the files, since only newer versions must read those of older ones.
        call(before, "prepare", str(work), "--model", given.model, "--size", str(given.size))
        for tree in (before, twin, present):
            shutil.copytree(work / "run", tree / "run")
        print(f"{commit[:9]} against itself, then against the present tree; prepared in "
              f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
        halves: list[tuple[str, dict[str, Path], float]] = [
            ("itself", {"commit": before, "again": twin}, given.minutes * 30),
            ("present", {"commit": before, "present": present}, given.minutes * 60),
        ]
        for half, trees, until in halves:
            rounds: Rounds = {}
            found[f"rounds_{half}"] = rounds
            for number in range(given.rounds):
                began = time.monotonic()
                measure(trees, work, given, rounds, found["errors"])
                took = time.monotonic() - began
                own = ratios(found["rounds_itself"], "commit", "again")
                found["ratios_to_itself"] = own
                found["ratios"] = ratios(found.get("rounds_present", {}), "commit", "present")
                limit = min(LOWEST, *own.values()) if own else LOWEST
                found["flagged"] = [name for name, ratio in found["ratios"].items() if ratio < limit]
                path.write_text(json.dumps(found, indent=1) + "\n")
                print(f"{half}: round {number + 1} of {given.rounds} in {took:.0f} s", flush=True)
                if time.monotonic() - started + took > until and number + 1 < given.rounds:
                    print(f"{half}: no time for more than {number + 1} rounds in {given.minutes:g} minutes")
                    break
    report(found)
    print(f"\n{path.name} on {found['hardware']}, {time.monotonic() - started:.0f} s in all")
    if found["errors"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
