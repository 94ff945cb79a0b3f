"""Signals that ask a run to stop: it finishes its step, saves it and ends."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_SAME_SIGNAL = 0.3  # seconds
# SIGHUP comes when the terminal closes; not on Windows.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Context manager that notes the first SIGTERM, SIGINT or SIGHUP in the list that it gives.

    The second one raises KeyboardInterrupt. One that comes within 0.3 s of the first counts as the same signal, as both
    a terminal and what started this process send it. A SIGHUP that is ignored, as under nohup, stays ignored. In
    threads other than the main one, which cannot handle signals, the list stays empty.
    """
    asked: list[int] = []
    first = -math.inf
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if asked and time.monotonic() > first + _SAME_SIGNAL:
            raise KeyboardInterrupt
        if not asked:
            first = time.monotonic()
            asked.append(number)

    handled = [n for n in _SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in handled}
    try:
        yield asked
    finally:
        time.sleep(max(0.0, first + _SAME_SIGNAL - time.monotonic()))
        for number, handler in before.items():
            signal.signal(number, handler)
