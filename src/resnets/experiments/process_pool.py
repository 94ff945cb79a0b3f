"""Runs several trials at a time, each in its own process, where one alone would leave cores idle."""

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
from resnets.core.main_guard import check_main_guard

T = TypeVar("T")
Log = Callable[[str], None]


def run(
    tasks: Sequence[Callable[[Log], T]], jobs: int, log: Log, *, name: str = "reproduce"
) -> Iterator[tuple[int, T]]:
    """Yields (number of the task, its result) as tasks end, `jobs` at a time; with one job they run in this process.

    Tasks and results must be picklable. If the generator is closed early or raises, each worker is asked to stop and
    saves its current step first. A worker has its own pipe and shares no lock, so that one that is killed does not
    block the others.

    Args:
        log: called with each line that a task logs.
        name: of the function that starts them, for a message.

    Raises:
        InterruptedRunError: on SIGTERM.
        TrainingError: a worker was killed.
        UsageError: the running script has no main guard.
    """
    if jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield number, task(log)
        return
    check_main_guard(name)
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    running: dict[Connection, int] = {}
    waiting = iter(range(len(tasks)))

    def send_next_task(pipe: Connection) -> None:
        number = next(waiting, None)
        if number is not None:
            running[pipe] = number
            with contextlib.suppress(OSError):  # the worker has ended, which the wait for its result notices
                pipe.send(tasks[number])

    with raising_at_sigterm():
        try:
            for _ in range(min(jobs, len(tasks))):
                own, theirs = context.Pipe()
                started = context.Process(target=_work, args=(theirs,), daemon=True)
                started.start()
                theirs.close()
                workers[own] = started
                send_next_task(own)
            while running:
                ready = wait(list(running))
                for pipe in [pipe for pipe in running if pipe in ready]:
                    try:
                        kind, message = pipe.recv()
                    except (EOFError, OSError):
                        raise TrainingError(_ended_early(workers[pipe])) from None
                    if kind == "log":
                        log(message)
                    elif kind == "failed":
                        raise message
                    else:
                        number = running.pop(pipe)
                        send_next_task(pipe)
                        yield number, message
        except BaseException:
            for worker in workers.values():
                worker.terminate()  # SIGTERM: a run saves its step and ends
            raise
        finally:
            for pipe in workers:
                pipe.close()  # ends a worker that waits for a task
            for worker in workers.values():
                worker.join()


@contextlib.contextmanager
def raising_at_sigterm() -> Iterator[None]:
    """Context manager in which SIGTERM raises InterruptedRunError, if this is the main thread."""
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


def _ended_early(worker: BaseProcess) -> str:
    worker.join()
    return (
        f"A training process ended without a result (exit code {worker.exitcode}; -9 often means out of memory). "
        "The same command continues from here; --jobs 1 takes less memory."
    )


def _work(pipe: Connection) -> None:
    """Runs the tasks that come through `pipe`, one after another, and sends back log lines and results."""

    def send(kind: str, message: Any) -> None:
        with contextlib.suppress(ConnectionError):  # the parent is gone; the step must still be saved
            pipe.send((kind, message))

    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in a terminal then reaches only the parent, which asks each worker to stop, once
    threading.Thread(target=_follow_parent, daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):  # no more tasks
        while True:
            task: Callable[[Log], Any] = pipe.recv()
            try:
                send("done", task(partial(send, "log")))
            except BaseException as error:
                send("failed", portable(error))
                return


def portable(error: BaseException) -> BaseException:
    """`error`, or a TrainingError with its message if it cannot be pickled; the traceback is a note of it."""
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = TrainingError(f"{type(error).__name__}: {error}")
    error.add_note(text)
    return error


def _follow_parent() -> None:
    """Sends SIGTERM to this process when its parent ends, for whatever reason, so that a run saves its step."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
