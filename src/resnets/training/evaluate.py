"""Evaluation during a run: exact scores of the split that it watches, and of the training images where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset, SplitName
from resnets.modalities.inputs import open_reader
from resnets.tasks.base import Task
from resnets.tasks.catalog import AnyTask, open_task
from resnets.tasks.forward import place
from resnets.training.interruptible import EvaluationStopped, Interruptible
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.step import Training


def network_of(training: Training, plan: Plan, state: dict[str, Tensor]) -> nn.Module:
    """A network of a run with the weights `state`, on its device."""
    network = place(training.task.build(plan.recipe.model), training.device)
    network.load_state_dict(state)
    return network


class RunEvaluator:
    """Scores networks as a run does: all ranks together, with its preprocessing and test-time augmentation.

    Args:
        asked: signals that asked this rank to stop.
        on_scores: called on rank 0 with the scores of the watched split, before anything else is done with them.
        on_stop: called on every rank, in place of an answer, where one was asked to stop.
    """

    def __init__(
        self,
        plan: Plan,
        data: PreparedData,
        training: Training,
        *,
        asked: Sequence[int],
        on_scores: Callable[[Scores], None],
        on_stop: Callable[[], NoReturn],
    ) -> None:
        self._plan = plan
        self._data = data
        self._training = training
        self._interruptible = Interruptible(training.ranks, asked)
        self._on_scores = on_scores
        self._on_stop = on_stop

    def __call__(self) -> Scores:
        """The scores of the weights as they are."""
        return self._evaluate(self._training.evaluated_network)

    def weights(self, state: dict[str, Tensor]) -> Scores:
        """The scores of the weights `state`, bit for bit those that they had when the run evaluated them."""
        return self._evaluate(network_of(self._training, self._plan, state))

    def test(self, state: dict[str, Tensor], settings: AnyTask) -> Scores | None:
        """The scores of the weights `state` on `test`, by which nothing was chosen; None without it, or without `val`.

        Args:
            settings: of the task as the model file has them.

        Raises:
            DataError: no sample of it can be read.
        """
        splits = self._data.splits
        if splits.watched == "test" or "test" not in splits.splits:
            return None
        try:
            return self._score(
                network_of(self._training, self._plan, state), splits.split("test"), None, "test", open_task(settings)
            )
        except EvaluationStopped:
            self._on_stop()

    def _evaluate(self, network: nn.Module) -> Scores:
        data = self._data
        try:
            scores = self._score(network, data.test, data.prepared_test(), data.splits.watched)
            if self._training.ranks.is_main:
                self._on_scores(scores)
            if not self._plan.recipe.score_training:
                return scores
            train = self._score(network, data.train, data.train_scan.prepared, "train")
        except EvaluationStopped:
            self._on_stop()
        of_training = {f"train_{name}": train.metrics[name] for name in (self._plan.headline.name, "loss")}
        return replace(scores, metrics=scores.metrics | of_training)

    def _score(
        self,
        network: nn.Module,
        dataset: Dataset,
        prepared: NDArray[Any] | None,
        split: SplitName,
        task: Task | None = None,
    ) -> Scores:
        recipe, training = self._plan.recipe, self._training
        task = task or training.task
        predictor = NetworkPredictor(
            network,
            task,
            open_reader(recipe.preprocessing),
            tta=recipe.tta,
            device=training.device,
            prepared=prepared,
        )
        return self._interruptible.score(
            predictor, task, dataset, split=split, choose=split == "val", watched=self._data.splits.watched,
            workers=self._plan.workers,
        )  # fmt: skip
