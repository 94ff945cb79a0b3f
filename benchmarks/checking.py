"""How fast `resnets check` reads images, against Pillow that decodes them and does nothing else.

    python benchmarks/checking.py IMAGES [--rounds 5] [--workers 2] [--memory]

Each round decodes all image files below IMAGES once with Pillow in threads, once in processes, and checks them once,
without a cache: files, duplicates and near duplicates. With `--memory`, the peak of resident memory of a check in a
process of its own is measured as well. Processor time says more than the clock on a machine that does other work.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from PIL import Image

import resnets
from resnets.core.workers import usable_cores
from resnets.modalities.image.read.pillow import ENDINGS
from rounds import Contestant, parser_for, ratios, report

PEAK = """
import json, resource, sys
import resnets
problems = len(resnets.check(sys.argv[1]).problems)
print(json.dumps({"problems": problems, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def as_classes(images: Path, root: Path) -> list[Path]:
    """Copies the images as two classes into `root`; returns the copies."""
    copies = []
    for number, path in enumerate(sorted(path for path in images.rglob("*") if path.suffix.lower() in ENDINGS)):
        copy = root / "ab"[number % 2] / f"{number}{path.suffix}"
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        copies.append(copy)
    return copies


def decode(path: Path) -> None:
    """Decodes one image as most programs do."""
    with Image.open(path) as image:
        image.convert("RGB")


def in_threads(paths: list[Path], workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(decode, paths))


def in_processes(paths: list[Path], pool: Pool) -> None:
    pool.map(decode, paths, chunksize=64)


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock, and of the processors in this process."""
    started, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - processor


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    os.environ["RESNETS_SCAN_CACHE"] = "off"
    with tempfile.TemporaryDirectory() as place, multiprocessing.get_context("spawn").Pool(given.workers) as pool:
        root = Path(place)
        copies = as_classes(given.images, root)
        works: dict[str, Callable[[], object]] = {
            "resnets check": lambda: resnets.check(root, workers=given.workers, quiet=True),
            "Pillow in threads (default)": lambda: in_threads(copies, given.workers),
            "Pillow in processes": lambda: in_processes(copies, pool),
        }
        contestants = [
            Contestant(name, lambda times: 0.0, len(copies), ours=number == 0, default="default" in name)
            for number, name in enumerate(works)
        ]
        in_processes(copies[: given.workers], pool)  # once they have started
        rates: dict[str, list[float]] = {name: [] for name in works}
        processor: dict[str, list[float]] = {name: [] for name in works if "processes" not in name}
        for _ in range(given.rounds):
            for name, work in works.items():
                wall, used = seconds_of(work)
                rates[name].append(len(copies) / wall)
                if name in processor:
                    processor[name].append(1e6 * used / len(copies))
        for name, times in processor.items():
            print(f"{name}: {statistics.median(times):.0f} microseconds of processor time an image")
        facts: dict[str, Any] = {"processor_microseconds": processor}
        if given.memory:
            command = [sys.executable, "-c", PEAK, str(root)]
            facts |= json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(f"peak of resident memory {facts['bytes'] / 2**20:.0f} MiB, {len(copies):,} images")
    result = {"title": f"{len(copies):,} images, {given.workers} workers", "rates": rates, **ratios(contestants, rates)}
    report(given.out, "checking", [result], ("pillow",), **facts)


if __name__ == "__main__":
    main()
