"""Runs one of the checks of `tests/gpu/checks.py` on a device, without pytest; `gpu.py` calls it.

PYTHONPATH=src:. python benchmarks/gpu_checks.py list | NAME DEVICE
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.gpu.checks import CHECKS


def main() -> None:
    if sys.argv[1] == "list":
        print(*CHECKS, sep="\n")
        return
    name, device = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        found = CHECKS[name](device, Path(folder))
    print("RESULT " + json.dumps({"figures": found}), flush=True)


if __name__ == "__main__":
    main()
