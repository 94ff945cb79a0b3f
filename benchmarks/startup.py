"""How long commands take from a cold shell, against `python -c 'import torch'` in the same run.

    python benchmarks/startup.py MODEL IMAGE [--rounds 5]

`--help` must not import torch; `predict` may take one second more than importing torch, and the first training step of
the digits three seconds more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resnets.training import environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("image")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            first_step = (
                "import os, resnets\n"
                "def subscriber(event):\n    if event['event'] == 'step': os._exit(0)\n"
                f"resnets.train('digits', 'steps=1', out={str(Path(folder) / 'run')!r}, subscribers=(subscriber,))"
            )
            for name, command in {
                "import torch": ["-c", "import torch"],
                "--help": ["-m", "resnets", "--help"],
                "predict": ["-m", "resnets", "predict", given.model, given.image],
                "first step of digits": ["-c", first_step],
            }.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *command], check=True, capture_output=True)
                seconds.setdefault(name, []).append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    found = {
        "date": datetime.date.today().isoformat(),
        "hardware": environment.choose("cpu").hardware,
        "seconds": seconds,
        "medians": medians,
        "more_than_importing_torch": {name: value - medians["import torch"] for name, value in medians.items()},
    }
    (Path(__file__).parent / "results" / f"{found['date']}-startup.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["more_than_importing_torch"], indent=1), json.dumps(medians, indent=1))


if __name__ == "__main__":
    main()
