"""Several trials at a time, each in a process of its own, where one alone would leave cores idle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any

from resnets.lab.experiment import Measured

Tell = Callable[[str], None]
Task = Callable[[Tell], Measured]  # must be picklable

_POLL_SECONDS = 0.1

_lines: Any = None  # of a worker: where what it tells goes


def run(tasks: Sequence[Task], jobs: int, tell: Tell) -> Iterator[tuple[int, Measured]]:
    """Yields (number of the task, what it returned) as tasks end, `jobs` at a time; one at a time, they run here."""
    if jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield number, task(tell)
        return
    context = multiprocessing.get_context("spawn")
    workers: list[int] = []
    with context.Manager() as manager, ProcessPoolExecutor(jobs, context, _begin, (lines := manager.Queue(),)) as pool:

        def hear() -> None:
            while not lines.empty():
                line = lines.get()
                workers.append(line) if isinstance(line, int) else tell(line)

        numbers = {pool.submit(_work, task): number for number, task in enumerate(tasks)}
        waiting = set(numbers)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                hear()
                for future in done:
                    yield numbers[future], future.result()
        except BaseException:
            for future in waiting:
                future.cancel()
            for worker in workers:  # they save the step that they are at
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGTERM)
            raise


def _begin(lines: Any) -> None:
    global _lines
    _lines = lines
    lines.put(os.getpid())
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process with the one that started it, however that ended; runs are made for it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task) -> Measured:
    return task(_lines.put)
