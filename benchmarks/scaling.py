"""How cost scales: images a second and memory against depth, batch, resolution and workers.

    python benchmarks/scaling.py [--out docs/results/scaling] [--steps 3] [--small]

Each figure is a `resnets benchmark` in its own process, so that its peak of memory is its own. Writes
results.json, figure.png and README.md into the folder.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

DEPTHS: dict[str, tuple[list[str], int]] = {
    "ImageNet nets at 224, batch 8": (["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"], 8),
    "CIFAR nets at 32, batch 32": ([f"cifar_resnet{n}" for n in (20, 56, 110, 1202)], 32),
}
BATCHES = (2, 4, 8, 16, 32)  # of resnet50 at 224
SIZES = (96, 160, 224, 320)  # of resnet50, 8 at a time
WORKERS = (0, 1, 2, 4)


def measure(model: str, *, batch: int, steps: int, size: int | None = None, workers: int | None = None) -> Any:
    """Output of `resnets benchmark`; loading and inference only where `workers` is given."""
    command = [
        sys.executable,
        "-m",
        "resnets",
        "benchmark",
        model,
        "--json",
        "--batch",
        str(batch),
        "--steps",
        str(steps),
    ]
    command += ["--size", str(size)] if size else []
    command += ["--workers", str(workers)] if workers is not None else ["--train"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(" ".join(command[3:]), flush=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "results" / "scaling")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--small", action="store_true", help="two points of each curve, small")
    given = parser.parse_args()
    few = 2 if given.small else None

    def training(model: str, batch: int, size: int | None = None) -> dict[str, float]:
        size = 32 if given.small else size
        found = measure(model, batch=batch, steps=given.steps, size=size)
        return {
            "images_per_second": found["training"]["images_per_second"],
            "mebibytes": found["peak_memory_bytes"] / 2**20,
            "predicted_mebibytes": found["predicted_peak_memory_bytes"] / 2**20,
        }

    curves: dict[str, dict[str, dict[str, float]]] = {}
    for title, (models, batch) in DEPTHS.items():
        curves[f"depth: {title}"] = {name.rpartition("resnet")[2]: training(name, batch) for name in models[:few]}
    curves["batch: resnet50 at 224"] = {str(batch): training("resnet50", batch) for batch in BATCHES[:few]}
    curves["resolution: resnet50, batch 8"] = {str(size): training("resnet50", 8, size) for size in SIZES[:few]}
    curves["workers: loading crops of 224 from JPEGs of 500 x 375"] = {
        str(n): measure("cifar_resnet20", batch=32, steps=10, size=32 if given.small else 224, workers=n)["loading"]
        for n in WORKERS[:few]
    }
    environment = measure("cifar_resnet20", batch=2, steps=1)["training"]["environment"]
    facts = {
        "date": datetime.date.today().isoformat(),
        **{k: environment[k] for k in ("hardware", "torch", "precision")},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps({**facts, "curves": curves}, indent=1) + "\n")
    draw(curves, given.out / "figure.png")
    lines = ["# How cost scales", "", "![Images a second and memory](figure.png)", ""]
    for title, points in curves.items():
        memory = all("mebibytes" in point for point in points.values())
        what = title.partition(":")[0]
        heading = [what, "images a second", *(["peak, MiB", "predicted, MiB"] if memory else [])]
        lines += [f"**{title}**", "", f"| {' | '.join(heading)} |", f"|{'---:|' * len(heading)}"]
        for name, point in points.items():
            cells = [name, f"{point['images_per_second']:.1f}"]
            cells += [f"{point['mebibytes']:,.0f}", f"{point['predicted_mebibytes']:,.0f}"] if memory else []
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines.append(
        "Training steps with SGD, except for the last table. Memory is the peak of the whole process, with torch and "
        f"Python.\n{facts['hardware']}, torch {facts['torch']}, {facts['precision']}, {facts['date']}; "
        "`python benchmarks/scaling.py`.\n"
    )
    (given.out / "README.md").write_text("\n".join(lines))


def draw(curves: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Writes a figure of one panel per curve: images a second on the left axis, memory on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3.4), layout="constrained")
    for axis, (title, points) in zip(axes, curves.items(), strict=True):
        x = [float(name) for name in points]
        axis.plot(x, [p["images_per_second"] for p in points.values()], "o-", color="#0072b2")
        axis.set(title=title.replace(": ", "\n"), xlabel=title.partition(":")[0], ylim=(0, None))
        axis.title.set_fontsize(9)
        if max(x) > 10 * max(min(x), 1):
            axis.set_xscale("log")
        axis.set_xticks(x, list(points))
        axis.minorticks_off()
        if "mebibytes" in next(iter(points.values())):
            right = axis.twinx()
            right.plot(x, [p["mebibytes"] / 1024 for p in points.values()], "s--", color="#d55e00")
            right.set(ylim=(0, None))
            right.tick_params(axis="y", colors="#d55e00")
        axis.tick_params(axis="y", colors="#0072b2")
    axes[0].set_ylabel("images a second (memory, GiB: dashed)")
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
