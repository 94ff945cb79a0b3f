"""The number of CPU cores that this process may use, and the number of threads that decode."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_WORKERS = 256


def default_workers() -> int:
    """The default number of threads that decode: the usable cores divided by the ranks on this machine."""
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")  # torchrun's
    return min(MAX_WORKERS, max(1, usable_cores() // max(1, int(ranks) if ranks.isdecimal() else 1)))


def usable_cores() -> int:
    """The cores that this process may run on: the minimum of its CPU affinity and its CPU quota, rounded up.

    Quotas are those of Linux's control groups, version 1 and 2: a container started with `--cpus 2` has 2 cores. On a
    system that has neither, all cores count.
    """
    return max(1, min(_affinity(), *(math.ceil(quota) for quota in _quotas())))


def _affinity() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13; it also reads PYTHON_CPU_COUNT
        return int(os.process_cpu_count() or 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """The CPU quotas, in cores, of this process's control groups and of their parents; at least one number.

    Args:
        groups: the file with a line for each hierarchy: number, controllers, path of the group.
    """
    yield MAX_WORKERS
    try:
        lines = groups.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for number, _, rest in (line.partition(":") for line in lines):
        controllers, _, path = rest.partition(":")
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        mount = root if number == "0" else root / controllers
        if number != "0" and not mount.is_dir():
            mount = root / "cpu"
        # In a container this may be a path on the host, of which only the last part, or nothing, is mounted.
        for group in (PurePosixPath(path.lstrip("/")), *PurePosixPath(path.lstrip("/")).parents):
            quota = _quota_of(mount / group)
            if quota:
                yield quota


def _quota_of(group: Path) -> float | None:
    """The CPU quota of one control group in cores; None for no limit."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()[:2]
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # such as "max"
        return None
