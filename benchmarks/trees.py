"""Trees of this repository beside one another, for comparing the present one with an earlier commit.

Each tree measures itself with the benchmark scripts of its own commit, since modules, arguments and settings had other
names in earlier versions.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("src", "benchmarks")


def git(*arguments: str) -> bytes:
    """Output of a git command in this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def unpack(commit: str, tree: Path, script: str) -> Path:
    """Writes `src` and `benchmarks` of `commit` to the new folder `tree` and returns it.

    Raises:
        SystemExit: `commit` has no `script` in its benchmarks.
    """
    if not git("ls-tree", "--name-only", commit, f"benchmarks/{script}"):
        raise SystemExit(f"{commit} is too old: it has no benchmarks/{script} to measure itself with.")
    tree.mkdir(parents=True)
    subprocess.run(["tar", "x", "-C", str(tree)], input=git("archive", commit, *PARTS), check=True)
    return tree


def copy_present(tree: Path) -> Path:
    """Copies `src` and `benchmarks` as they lie here to `tree`, so that an edit during the run changes nothing."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return tree
