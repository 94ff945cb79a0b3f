"""Several trials at a time, each in a process of its own, where one alone would leave cores idle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from resnets.errors import TrainingError

T = TypeVar("T")
Tell = Callable[[str], None]


def run(tasks: Sequence[Callable[[Tell], T]], jobs: int, tell: Tell) -> Iterator[tuple[int, T]]:
    """Yields (number of the task, what it returned) as tasks end, `jobs` at a time; one at a time, they run here.

    Tasks and what they return must be picklable.

    Left early, by an error or by who asked, it lets each worker save the step that it is at. A worker has a pipe of its
    own and shares no lock, so that one which is killed holds up no other.

    Raises:
        TrainingError: a worker was killed.
    """
    if jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield number, task(tell)
        return
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    doing: dict[Connection, int] = {}
    waiting = iter(range(len(tasks)))

    def hand(connection: Connection) -> None:
        number = next(waiting, None)
        if number is not None:
            doing[connection] = number
            connection.send(tasks[number])

    try:
        for _ in range(min(jobs, len(tasks))):
            own, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,))
            process.start()
            theirs.close()
            workers[own] = process
            hand(own)
        while doing:
            for connection in wait(list(doing)):
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv()
                except EOFError:
                    raise TrainingError(_killed(workers[connection])) from None
                if isinstance(answer, str):
                    tell(answer)
                    continue
                number = doing.pop(connection)
                if isinstance(answer, BaseException):
                    raise answer
                hand(connection)
                yield number, answer
    finally:
        for worker in workers.values():
            worker.terminate()  # one that trains notes it, saves, and ends
        for connection, worker in workers.items():
            connection.close()
            worker.join()


def _killed(worker: BaseProcess) -> str:
    worker.join()
    return (
        f"A process that trained was ended from outside (exit code {worker.exitcode}), perhaps for want of memory: "
        "start again, which goes on where this ended, with --jobs 1."
    )


def _work(tasks: Connection) -> None:
    """Does what comes through `tasks`, one after another; what is told and what comes of it go back."""

    def send(answer: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # none listens any more; the step is still to be saved
            tasks.send(answer)

    threading.Thread(target=_follow_parent, daemon=True).start()
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            task: Callable[[Tell], Any] = tasks.recv()
            try:
                send(task(send))
            except BaseException as error:
                error.add_note(traceback.format_exc())  # which stays here
                send(error)
                return


def _follow_parent() -> None:
    """Ends this process with the one that started it, however that ended; runs are made for it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
