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
from resnets.tasks.forward import place
from resnets.training.interruptible import EvaluationStopped, Interruptible
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.step import Training


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
        training, recipe = self._training, self._plan.recipe
        network = place(training.task.build(recipe.model), training.device)
        network.load_state_dict(state)
        return self._evaluate(network)

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

    def _score(self, network: nn.Module, dataset: Dataset, prepared: NDArray[Any] | None, split: SplitName) -> Scores:
        recipe, training = self._plan.recipe, self._training
        predictor = NetworkPredictor(
            network,
            training.task,
            open_reader(recipe.preprocessing),
            tta=recipe.tta,
            device=training.device,
            prepared=prepared,
        )
        return self._interruptible.score(
            predictor, training.task, dataset, split=split, choose=split == "val", workers=self._plan.workers
        )
