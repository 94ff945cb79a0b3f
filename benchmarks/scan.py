"""How long a run over many photographs takes to its first step, new and resumed, and how much memory.

    python benchmarks/scan.py PHOTOGRAPHS [--count 200000] [--against COMMIT --against-count 20000]

Makes COUNT hard links to the JPEG files below PHOTOGRAPHS, in 200 classes, a fiftieth of them for testing, and trains
on them with the augmentations of fast/imagenet (random resized crops of 160 to 192 pixels) and a small model. Each
figure is of its own process: seconds from its start to its first step, its peak of resident memory, and the
processor's seconds, its children's included, up to that step. `begun` fills an empty cache of the scan, `again` is a
second run that finds it filled, `resumed` resumes from a checkpoint. `idle`, a step of the digits, is what starting and
importing takes; all above that is taken as proportional to the photographs, which gives the core-hours of 1.28 million.

With `--against`, COMMIT does the same with fewer photographs, measured by the `scan.py` of that commit, since its
functions and arguments may have other names.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from trees import ROOT, unpack

IMAGENET = 1_281_167
CLASSES = 200
GOALS = {"begun": 60.0, "resumed": 20.0, "bytes": 2**30}
SMALL = ("model.depths=[1,1]", "model.widths=[16,32]", "model.stem_width=16", "batch=32", "evaluate_every=1000")

# Runs in its own process and ends it at the first step that is logged, which is the last.
FIRST_STEP = """
import json, os, pathlib, resource, sys, threading, time
import resnets
def subscriber(event):
    if event["event"] == "step":
        spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps({
            "at": time.time(),
            "peak_bytes": max(each.ru_maxrss for each in spent) * 1024,
            "core_seconds": sum(each.ru_utime + each.ru_stime for each in spent),
        }), flush=True)
        os._exit(0)
"""
IDLE = FIRST_STEP + """
resnets.train("digits", "steps=1", out=sys.argv[1], subscribers=(subscriber,))
"""  # fmt: skip
BEGIN = FIRST_STEP + """
resnets.train("fast/imagenet", *sys.argv[3:], out=sys.argv[1], data=sys.argv[2], workers=2, subscribers=(subscriber,))
"""  # fmt: skip
# Ends as soon as the first checkpoint is complete.
STOP = FIRST_STEP + """
def stop():
    while not list(pathlib.Path(sys.argv[1], "checkpoint").glob("step-*.json")):
        time.sleep(0.01)
    os._exit(0)
threading.Thread(target=stop, daemon=True).start()
resnets.train("fast/imagenet", *sys.argv[3:], out=sys.argv[1], data=sys.argv[2], workers=2, checkpoint_steps=1)
"""  # fmt: skip
RESUME = FIRST_STEP + """
resnets.resume(sys.argv[1], subscribers=(subscriber,))
"""  # fmt: skip


def link(photographs: list[Path], root: Path, count: int) -> Path:
    """A folder with `count` hard links to `photographs`, in `CLASSES` classes."""
    for split, some in (("train", count - count // 50), ("val", count // 50)):
        for number, photograph in enumerate(islice(cycle(photographs), some)):
            folder = root / split / f"class{number % CLASSES:03}"
            if number < CLASSES:
                folder.mkdir(parents=True)
            os.link(photograph, folder / f"{number:07}.jpg")
    return root


def run(src: Path, cache: Path, program: str, *arguments: str | Path) -> str:
    """Output of one of the programs above.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(src), "RESNETS_CACHE": str(cache)},
    )
    if done.returncode:
        raise SystemExit(f"A run ended with {done.returncode}.")
    return done.stdout


def measured(src: Path, cache: Path, program: str, *arguments: str | Path) -> dict[str, float]:
    """Cost of the first step of one of the programs above."""
    started = time.time()
    found = json.loads(run(src, cache, program, *arguments))
    return {"seconds": found.pop("at") - started, **found}


def measure(src: Path, data: Path, work: Path, settings: list[str]) -> dict[str, dict[str, float]]:
    """Figures of the `resnets` in the folder `src`."""
    cache = work / "cache"
    settings = [*SMALL, *settings]
    found = {"idle": measured(src, cache, IDLE, work / "digits")}
    for name in ("begun", "again"):
        found[name] = measured(src, cache, BEGIN, work / name, data, *settings, "steps=1")
    run(src, cache, STOP, work / "resumed", data, *settings, "steps=2")
    found["resumed"] = measured(src, cache, RESUME, work / "resumed")
    return found


def imagenet_core_hours(found: dict[str, dict[str, float]], name: str, count: int) -> float:
    """Core-hours for as many photographs as ImageNet has, if all but starting is proportional to their number."""
    more = found[name]["core_seconds"] - found["idle"]["core_seconds"]
    return (found["idle"]["core_seconds"] + more * IMAGENET / count) / 3600


def of_commit(commit: str, work: Path, photographs: Path, count: int, settings: list[str]) -> dict[str, Any]:
    """What the `scan.py` of `commit` finds with `count` photographs."""
    tree, out = unpack(commit, work / "tree", "scan.py"), work / "against"
    command = [sys.executable, str(tree / "benchmarks" / "scan.py"), str(photographs), "--count", str(count)]
    command += ["--out", str(out), *(["--set", *settings] if settings else [])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (path,) = out.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--against-count", type=int, default=20_000)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further settings of the recipe")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    photographs = sorted(p for p in given.photographs.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "photographs": len(photographs),
        "goals": GOALS,
    }
    # Hard links need one file system, which the photographs' may not be.
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        work = Path(folder)
        copies = [work / "originals" / f"{number}.jpg" for number in range(len(photographs))]
        copies[0].parent.mkdir()
        for photograph, copy in zip(photographs, copies, strict=True):
            copy.write_bytes(photograph.read_bytes())
        data = link(copies, work / "data", given.count)
        found = measure(ROOT / "src", data, work, given.set)
        result |= {"count": given.count, "found": found}
        hours = {name: imagenet_core_hours(found, name, given.count) for name in ("begun", "again", "resumed")}
        result["imagenet_core_hours"] = hours
        if given.against:
            before = of_commit(given.against, work, copies[0].parent, given.against_count, given.set)
            theirs = before["imagenet_core_hours"]
            result["against"] = {
                "commit": given.against,
                "count": given.against_count,
                "found": before["found"],
                "imagenet_core_hours": theirs,
                "share_of_its_core_hours": {name: hours[name] / theirs[name] for name in hours},
            }
    result["goals_met"] = {
        "begun": found["begun"]["seconds"] <= GOALS["begun"],
        "resumed": found["resumed"]["seconds"] <= GOALS["resumed"],
        "bytes": max(each["peak_bytes"] for each in found.values()) <= GOALS["bytes"],
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{result['date']}-scan.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
