"""When a command began, on the clock of `time.monotonic`.

On the command line a time budget counts from the start of the process, so that Python's own start and the imports are
part of it. In Python it counts from the call.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_of_process: float | None = None


def count_from_process_start() -> None:
    """Makes `command_start` return the start of this process; called by a process that runs one command alone."""
    global _of_process
    _of_process = time.monotonic() - process_age()


def command_start() -> float:
    """Returns when the command that is called began: the start of the process on the command line, now in Python."""
    return time.monotonic() if _of_process is None else _of_process


def process_age() -> float:
    """Returns the seconds since this process started; where the system does not say, the CPU seconds that it used."""
    least = time.process_time()
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        # proc(5): field 22 of stat, behind the name in brackets, is the start in clock ticks since boot.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return max(least, age)
    return least
