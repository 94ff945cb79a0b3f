"""Spoken digits: the official split by takes, and the harder ones in which the speaker is new.

    python benchmarks/spoken_digits.py FOLDER --out results.json

FOLDER holds the recordings of the Free Spoken Digit Dataset (Jakobovski/free-spoken-digit-dataset), called
DIGIT_SPEAKER_TAKE.wav. `takes` trains on takes 5 and later and tests on takes 0 to 4, as the dataset's authors propose;
`NAME` trains on all speakers but NAME and tests on NAME. Each split is laid out beside `--out` as links to the
recordings, and trained on with `resnets train audio/logmel`, at its defaults, once for each seed. Everything is tested
once, at the end of the run.

`--out` holds what is finished; called again, the script continues with the rest and resumes a run that was interrupted.
A run takes about a minute on two cores, and all of them (takes and six speakers, three seeds each) about half an hour.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import resnets
from resnets.core.files import write_json

RECIPE = "audio/logmel"
TAKES = "takes"


def name_of(recording: Path) -> tuple[str, str, int]:
    """Digit, speaker and take of a recording called DIGIT_SPEAKER_TAKE.wav."""
    digit, speaker, take = recording.stem.split("_")
    return digit, speaker, int(take)


def is_tested(split: str, speaker: str, take: int) -> bool:
    """Whether a recording is for testing in the split called `split`: `TAKES`, or a speaker's name."""
    return take < 5 if split == TAKES else speaker == split


def lay_out(recordings: list[Path], split: str, root: Path) -> Path:
    """Links the recordings into `root/split/train/DIGIT/` and `root/split/test/DIGIT/`."""
    folder = root / split
    shutil.rmtree(folder, ignore_errors=True)
    for recording in recordings:
        digit, speaker, take = name_of(recording)
        place = folder / ("test" if is_tested(split, speaker, take) else "train") / digit
        place.mkdir(parents=True, exist_ok=True)
        (place / recording.name).symlink_to(recording.resolve())
    return folder


def accuracy(data: Path, run: Path, seed: int, overrides: list[str]) -> tuple[float, float]:
    """Accuracy on the test split of a run, which is begun or resumed, and the seconds that this took."""
    start = time.perf_counter()
    if (run / "checkpoint").exists():
        done = resnets.resume(run)
    else:
        shutil.rmtree(run, ignore_errors=True)
        settings = ("evaluate_every=1000", *overrides)
        done = resnets.train(RECIPE, *settings, data=str(data), val_share=0, out=run, seed=seed)
    metrics = done.metrics if done.metrics["split"] == "test" else done.metrics["test"]
    return float(metrics["accuracy"]), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("overrides", nargs="*", help="settings of the recipe, such as epochs=10")
    parser.add_argument("--splits", nargs="+", help=f"{TAKES}, or speakers (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    recordings = sorted(arguments.folder.glob("*_*_*.wav"))
    if not recordings:
        raise SystemExit(f"{arguments.folder} holds no recordings called DIGIT_SPEAKER_TAKE.wav.")
    speakers = sorted({name_of(recording)[1] for recording in recordings})
    work = arguments.out.with_suffix("")
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    results |= {
        "overrides": arguments.overrides,
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)),
        "date": datetime.date.today().isoformat(),
    }
    found: dict[str, dict[str, Any]] = results.setdefault("splits", {})
    for seed in arguments.seeds:
        for split in arguments.splits or [TAKES, *speakers]:
            of_split = found.setdefault(split, {})
            if str(seed) in of_split:
                continue
            run = work / f"{split}-{seed}"
            data = work / "data" / split
            if not run.exists():
                lay_out(recordings, split, work / "data")
            share, seconds = accuracy(data, run, seed, arguments.overrides)
            of_split[str(seed)] = {"accuracy": share, "seconds": round(seconds, 1)}
            write_json(arguments.out, results)
            print(f"{split}, seed {seed}: {share:.2%} in {seconds:.0f} s", flush=True)
    for split, runs in found.items():
        shares = [each["accuracy"] for each in runs.values()]
        print(f"{split:12} {', '.join(f'{share:.2%}' for share in shares)}; median {statistics.median(shares):.2%}")


if __name__ == "__main__":
    main()
