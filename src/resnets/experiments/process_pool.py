"""Several trials at a time, each in a process of its own, where one alone would leave cores idle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, TypeVar

from resnets.core.errors import InterruptedRunError, TrainingError

T = TypeVar("T")
Log = Callable[[str], None]


def run(tasks: Sequence[Callable[[Log], T]], jobs: int, log: Log) -> Iterator[tuple[int, T]]:
    """Yields (number of the task, what it returned) as tasks end, `jobs` at a time; one at a time, they run here.

    Tasks and what they return must be picklable. Left early, by an error, a signal or who asked, it lets each worker
    save the step that it is at. A worker has a pipe of its own and shares no lock, so that one which is killed holds up
    no other.

    Raises:
        InterruptedRunError: on SIGTERM.
        TrainingError: a worker was killed.
    """
    if jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield number, task(log)
        return
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    doing: dict[Connection, int] = {}
    waiting = iter(range(len(tasks)))

    def hand(pipe: Connection) -> None:
        number = next(waiting, None)
        if number is not None:
            doing[pipe] = number
            with contextlib.suppress(OSError):  # of a worker that is gone, which the wait for its answer finds
                pipe.send(tasks[number])

    with _raising_at_sigterm():
        try:
            for _ in range(min(jobs, len(tasks))):
                own, theirs = context.Pipe()
                started = context.Process(target=_work, args=(theirs,), daemon=True)
                started.start()
                theirs.close()
                workers[own] = started
                hand(own)
            while doing:
                ready = wait(list(doing))
                for pipe in [pipe for pipe in doing if pipe in ready]:
                    try:
                        kind, answer = pipe.recv()
                    except (EOFError, OSError):
                        raise TrainingError(_without_answer(workers[pipe])) from None
                    if kind == "told":
                        log(answer)
                    elif kind == "failed":
                        raise answer
                    else:
                        number = doing.pop(pipe)
                        hand(pipe)
                        yield number, answer
        except BaseException:
            for worker in workers.values():
                worker.terminate()  # one that trains notes it, saves, and ends
            raise
        finally:
            for pipe in workers:
                pipe.close()  # which ends one that waits
            for worker in workers.values():
                worker.join()


@contextlib.contextmanager
def _raising_at_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise InterruptedRunError("Stopped, as asked.", number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _without_answer(worker: BaseProcess) -> str:
    worker.join()
    return (
        f"A process that trained ended without an answer (exit code {worker.exitcode}; -9 often is want of memory). "
        "The same command goes on where this ended; with --jobs 1, in less memory."
    )


def _work(pipe: Connection) -> None:
    """Does what comes through `pipe`, one task after another; what is told and what comes of it go back."""

    def send(kind: str, answer: Any) -> None:
        with contextlib.suppress(ConnectionError):  # none listens any more; the step is still to be saved
            pipe.send((kind, answer))

    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in a terminal then reaches the parent alone, which asks each worker to stop, once
    threading.Thread(target=_follow_parent, daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):  # nothing more is to be done
        while True:
            task: Callable[[Log], Any] = pipe.recv()
            try:
                send("done", task(partial(send, "told")))
            except BaseException as error:
                send("failed", _portable(error))
                return


def _portable(error: BaseException) -> BaseException:
    """`error`, or its words where it cannot be pickled, with where it was."""
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = TrainingError(f"{type(error).__name__}: {error}")
    error.add_note(text)
    return error


def _follow_parent() -> None:
    """Asks this process to stop when the one that started it has ended, however; runs are made for it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
