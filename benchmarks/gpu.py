"""Checks and speeds on a machine with a CUDA device where nothing can be installed: `scripts/gpu`.

    scripts/gpu --out FOLDER [--cifar ARCHIVE] [--airbench CHECKOUT] [--minutes 11] [--only PART ...] [--dry-run]

The most important comes first. Each part is its own process with a time limit, so that one that fails or hangs loses
only its own result. FOLDER/gpu.json has every result as it comes, FOLDER/gpu.log what the parts print. It needs the
dependencies of resnets but no pytest; timm and cifar10-airbench are compared with where they are installed. ARCHIVE is
a tar file of train/CLASS/* and test/CLASS/*; without it, generated images show the speed of G4 and G5, but no
meaningful errors. `--dry-run` runs everything on the CPU, with tiny sizes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from own_rates import write_photos

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "triton", "timm")
RESULT = "RESULT "


@dataclass
class Results:
    """Results so far, written to `folder`/gpu.json at every change."""

    folder: Path
    found: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, name: str, **values: Any) -> None:
        with self.lock:
            self.found.setdefault("parts", {}).setdefault(name, {}).update(values)
            partial = self.folder / "gpu.json.part"
            partial.write_text(json.dumps(self.found, indent=1, default=str) + "\n")
            partial.replace(self.folder / "gpu.json")

    def log(self, name: str, line: str) -> None:
        with self.lock, (self.folder / "gpu.log").open("a") as log:
            log.write(f"{name}: {line.rstrip()}\n")


@dataclass(frozen=True)
class Part:
    """A script to run.

    Args:
        limit: its time, in seconds.
        script: a file of this folder, then its arguments.
        reads: whether the script writes a file of results into the folder that it gets as `--out`.
    """

    name: str
    limit: float
    script: tuple[str, ...]
    reads: bool = False


def environment() -> dict[str, str]:
    path = os.pathsep.join(str(each) for each in (ROOT / "src", ROOT, HERE))
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def run(part: Part, limit: float, results: Results) -> bool:
    """Runs `part` for at most `limit` seconds; returns whether it succeeded."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, str(HERE / part.script[0]), *part.script[1:]]
        command += ["--out", place] if part.reads else []
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        late = threading.Event()

        def stop() -> None:
            late.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started

        timer = threading.Timer(limit, stop)
        timer.start()
        last: list[str] = []
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(RESULT):
                    results.set(part.name, **json.loads(line.removeprefix(RESULT)))
                else:
                    results.log(part.name, line)
                    last = [*last, line.rstrip()][-8:]
            code = process.wait()
        finally:
            timer.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the processes that it left, and itself after an interrupt
        for path in Path(place).glob("*.json"):
            results.set(part.name, results=json.loads(path.read_text())["results"])
    status = "ok" if code == 0 else f"no end within {limit:.0f} s" if late.is_set() else f"failed with code {code}"
    why = {} if code == 0 else {"last_lines": last}
    results.set(part.name, status=status, seconds=round(time.monotonic() - started, 1), **why)
    return code == 0


def machine() -> dict[str, Any]:
    def said(*command: str) -> str | None:
        try:
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    torch = "import torch; print(torch.version.cuda, torch.backends.cudnn.version(), torch.cuda.is_available())"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "gpu": said("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"),
        "cuda_cudnn_available": said(sys.executable, "-c", torch),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions,
        "commit": said("git", "rev-parse", "HEAD"),
        "changed": said("git", "status", "--porcelain", "--untracked-files=no"),
    }


def unpack(archive: Path | None, folder: Path, count: int) -> Path:
    """Unpacks CIFAR-10 as train/CLASS/*, test/CLASS/*; without an archive, generates `count` images of two classes."""
    if archive is None:
        write_photos(folder / "train", count, (32, 32), ".png")
        write_photos(folder / "test", max(4, count // 10), (32, 32), ".png")
        return folder
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder if (folder / "train").is_dir() else next(folder.glob("*/train")).parent


def check_names() -> list[str]:
    listed = subprocess.run(
        [sys.executable, str(HERE / "gpu_checks.py"), "list"],
        env=environment(), cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return listed.split()


def parts_for(given: argparse.Namespace, photos: Path, cifar: Path) -> list[Part]:
    """G1 to G5, the most important first. max-autotune comes last, as its compiling alone can take minutes."""
    airbench = ("--airbench", str(given.airbench.resolve())) if given.airbench else ()
    if given.dry_run:
        few = ("--rounds", "1", "--seconds", "0.01")
        cut = ("--rounds", "1", "--round-seconds", "0.01", "--seconds", "1")
        net, size = ("--model", "cifar_resnet20"), ("--size", "32")
        alone = ("--torch-alone", "--compiler", "none", "--batches", "1", "2")
        cases = ("--cases", "cifar_resnet20:8", "--compiler", "none", "--memory", "8")
        return [
            Part("G1, G3 resnet50", 300, ("training.py", *cases, *few), True),
            Part("G2", 300, ("inference.py", str(photos), *net, *size, *alone, *few), True),
            Part("G5", 300, ("gpu_cifar.py", "g5", str(cifar), *cut)),
            Part("G4", 300, ("gpu_cifar.py", "g4", str(cifar), *cut, "--epochs", "1", *airbench)),
        ]
    few = ("--rounds", "5", "--seconds", "1")
    g1, g2 = ("training.py", "--cases", "resnet50:256", *few), ("inference.py", str(photos), *few)
    deep = ("training.py", "--cases", "cifar_resnet1202:128", "--memory", "0.2", "--compiler", "none")
    return [
        Part("G1, G3 resnet50", 170, (*g1, "--memory", "0.6", "--compiler", "default"), True),
        Part("G2", 100, (*g2, "--compiler", "reduce-overhead"), True),
        Part("G3 cifar_resnet1202", 80, (*deep, "--rounds", "2", "--seconds", "1"), True),
        Part("G5", 130, ("gpu_cifar.py", "g5", str(cifar), "--seconds", "120")),
        Part("G4", 240, ("gpu_cifar.py", "g4", str(cifar), *airbench)),
        Part("G2 max-autotune", 200, (*g2, "--compiler", "max-autotune"), True),
        Part("G1 max-autotune", 300, (*g1, "--compiler", "max-autotune"), True),
    ]


def summary(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, part in found["parts"].items():
        lines.append(f"{name:32} {part.get('status', '')} {part.get('seconds', '')}")
        speeds = [*part.get("results", ()), *([part["speed"]] if "speed" in part else [])]
        lines += [f"    {each['title']}: {each['to_best_peer']:.2f}x {each['best_peer']}" for each in speeds]
        lines += [f"    {key}: {part[key]}" for key in ("theirs", "ours", "run") if key in part]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--cifar", type=Path, help="a tar file of train/CLASS/* and test/CLASS/*")
    parser.add_argument("--airbench", type=Path, help="a checkout of cifar10-airbench")
    parser.add_argument("--minutes", type=float, default=11.0, help="for everything")
    parser.add_argument("--only", nargs="+", help="these parts, by how their names begin, such as check G1")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    given = parser.parse_args()
    ends = time.monotonic() + 60 * given.minutes - 5
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the parts are stopped, too
    given.out.mkdir(parents=True, exist_ok=True)
    results = Results(given.out.resolve(), {"dry_run": given.dry_run, **machine()})
    device = "cpu" if given.dry_run else "cuda"

    def wanted(name: str) -> bool:
        return not given.only or any(name.startswith(each) for each in given.only)

    failed = []
    with (
        tempfile.TemporaryDirectory() as place,
        concurrent.futures.ThreadPoolExecutor(1) as reader,
        concurrent.futures.ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 2))) as pool,
    ):
        photos, folder = Path(place) / "photos", Path(place) / "cifar"
        folder.mkdir()
        unpacking = reader.submit(unpack, given.cifar, folder, 300 if given.dry_run else 5000)
        names = [name for name in check_names() if wanted(f"check {name}")]
        checks = [Part(f"check {name}", 100, ("gpu_checks.py", name, device)) for name in names]
        ended = pool.map(lambda check: run(check, min(check.limit, ends - time.monotonic()), results), checks)
        failed += [check.name for check, well in zip(checks, ended, strict=True) if not well]
        print(f"{len(checks)} checks, failed: {failed or 'none'}", flush=True)
        write_photos(photos, 32, (500, 375))
        try:
            cifar = unpacking.result(timeout=max(1.0, ends - time.monotonic()))
        except Exception as error:  # the other parts need no CIFAR
            results.set("CIFAR", status=f"failed: {error!r}")
            cifar = folder
        for part in parts_for(given, photos, cifar):
            left = ends - time.monotonic()
            if not wanted(part.name):
                continue
            if left < 20:
                results.set(part.name, status="not run: no time was left")
                continue
            if not run(part, min(part.limit, left), results):
                failed.append(part.name)
            print(f"{part.name}: {results.found['parts'][part.name]['status']}", flush=True)
    print("\n".join(summary(results.found)))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
