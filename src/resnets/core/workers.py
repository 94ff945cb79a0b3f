"""How many processor cores this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_WORKERS = 256


def default_workers() -> int:
    """Threads that decode where no number is given: the usable cores, shared by the ranks of this machine."""
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")  # torchrun's
    return min(MAX_WORKERS, max(1, usable_cores() // max(1, int(ranks) if ranks.isdecimal() else 1)))


def usable_cores() -> int:
    """Cores that this process may run on: by its affinity, and by the CPU quota of its control groups, rounded up.

    A container started with `--cpus 2` on a machine of 64 cores has 2 (Linux's cgroups, version 1 and 2). Where a
    system tells neither, all cores.
    """
    return max(1, min(_affinity(), *(math.ceil(quota) for quota in _quotas())))


def _affinity() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13; it also knows PYTHON_CPU_COUNT
        return int(os.process_cpu_count() or 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """Cores' worth of time that this process's control groups and those above them allow; at least one number.

    Args:
        groups: a line for each hierarchy: number, controllers, path of the group.
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
        # In a container the path may be the host's, of which only the last part, or nothing, is mounted.
        for group in (PurePosixPath(path.lstrip("/")), *PurePosixPath(path.lstrip("/")).parents):
            quota = _quota_of(mount / group)
            if quota:
                yield quota


def _quota_of(group: Path) -> float | None:
    """Cores' worth of time that one control group allows; None for no limit."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()[:2]
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
        return None
