"""The answers of a model to inputs that come one by one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from resnets.artifacts.model_file import ModelCard
from resnets.core.devices import full_float32
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.core.typed import conform
from resnets.core.workers import default_workers
from resnets.data.prefetch import prefetch
from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import batch_of
from resnets.evaluation.tiles import TiledPredictor
from resnets.modalities.given import Given
from resnets.modalities.inputs import dataset_of


def answers_to(
    inputs: Iterable[Given],
    predictor: NetworkPredictor | TiledPredictor,
    card: ModelCard,
    top: int,
    batch: int | None,
    workers: int | None,
) -> Iterator[tuple[str, Any]]:
    """The name of each of `inputs` and the answer to it, or the DataError of one that cannot be read, in turn.

    At most twice as many inputs as there are threads are in memory decoded at a time, and two batches of what the
    network gets of them.

    Args:
        top: number of classes, where they are ranked.
        batch: samples at a time; None takes as many as `evaluate`, for the same last bit.
        workers: threads that decode; None is one for each usable core.

    Raises:
        UsageError: `top` is below 1.
    """
    top = conform(int, top, "top")
    if top < 1:
        raise UsageError(f"top must be 1 or more, not {top}.")
    return _answers(inputs, predictor, card, top, batch, default_workers() if workers is None else max(1, workers))


def without_errors(answers: Iterable[tuple[str, Any]]) -> list[Any]:
    """What `answers_to` gives, without the names, where no answer is an error.

    Raises:
        PredictionError: some inputs cannot be read; the error has the answers to the others.
    """
    named = list(answers)
    found = [answer for _, answer in named]
    failed = {number: each for number, each in enumerate(found) if isinstance(each, DataError)}
    if failed:
        readable = [None if number in failed else each for number, each in enumerate(found)]
        raise PredictionError(readable, failed, [name for name, _ in named])
    return found


def _answers(
    inputs: Iterable[Given],
    predictor: NetworkPredictor | TiledPredictor,
    card: ModelCard,
    top: int,
    batch: int | None,
    threads: int,
) -> Iterator[tuple[str, Any]]:
    task, decoded = predictor.task, threading.Semaphore(2 * threads)

    def drawn() -> Iterator[Given]:
        for each in inputs:
            if each.is_large:
                decoded.acquire()
            yield each

    def load(given: Given) -> tuple[str, Any]:
        try:
            return given.name, predictor.load(dataset_of(card.preprocessing, [given]), 0)
        except DataError as error:
            return given.name, DataError(str(error))  # without the traceback, whose frames hold the pixels
        finally:
            if given.is_large:
                decoded.release()

    with ThreadPoolExecutor(threads) as pool:
        for loaded in prefetch(pool, load, _parts(drawn(), batch or batch_of(task))):
            readable = [each for _, each in loaded if not isinstance(each, DataError)]
            found = iter(())
            if readable:
                with torch.inference_mode(), full_float32():
                    found = iter(task.answers(predictor.predict(readable), card.classes, top))
            for name, each in loaded:
                yield name, each if isinstance(each, DataError) else next(found)


def _parts(inputs: Iterator[Given], size: int) -> Iterator[Iterator[Given]]:
    """`inputs` in parts of `size`, each drawn one by one."""
    for first in inputs:
        yield itertools.chain([first], itertools.islice(inputs, size - 1))
