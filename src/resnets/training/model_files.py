"""The model files of a run, and the report beside them.

`model.safetensors` is the model to use, and report.html says how good it is, with the answer to each sample in
predictions.csv. Without a monitored metric it is the
model of the last step. With one, `best.safetensors` is written after each evaluation that is the best so far; when the
run ends, `last.safetensors` gets the model of the last step, and model.safetensors the best one. With `soup` in the
recipe, model.safetensors is the soup, and last.safetensors is there as well. A run that is killed between these files
has not ended: resumed, it writes them again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.core.config import encode
from resnets.core.errors import DataError, FileError
from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import Scores
from resnets.modalities.inputs import open_reader
from resnets.reporting.report import write_predictions, write_report
from resnets.reporting.sample_facts import SECONDS, sample_facts, scored_groups
from resnets.tasks.catalog import AnyTask, open_task
from resnets.tasks.classification.interval import clustered
from resnets.tasks.metric import Metric
from resnets.tasks.samples import SampleFacts
from resnets.training import agreement
from resnets.training.callbacks import goodness
from resnets.training.evaluate import RunEvaluator, network_of
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.recorder import EventRecorder
from resnets.training.repeating import repeating
from resnets.training.run_folder import RunFolder
from resnets.training.soup import Ingredients
from resnets.training.step import Training

_SHARE = 0.01  # of a time budget, at most, in which samples are read once more for the report


def seconds_for_facts(minutes: float | None) -> float:
    """How long samples may be read for the report of a run of so many minutes."""
    return SECONDS if minutes is None else min(SECONDS, _SHARE * 60 * minutes)


class ModelFiles:
    """Saves the models of one run. Only rank 0 writes."""

    def __init__(
        self, plan: Plan, data: PreparedData, folder: RunFolder, training: Training, recorder: EventRecorder
    ) -> None:
        self._plan = plan
        self._data = data
        self._folder = folder
        self._training = training
        self._recorder = recorder
        count = plan.recipe.soup
        self._soup = Ingredients(folder.soup, count, plan.monitored or plan.headline) if count else None
        self._best: Scores | None = None  # of best.safetensors, where this process wrote it
        self._test: dict[str, Any] | None = None  # what the report says of test

    def save_best(self, scores: Scores) -> None:
        """Saves the current weights as the best model so far. Called on rank 0."""
        model_file.save(self._folder.best, self._weights(), self._card(scores))
        self._best = scores

    def add_to_soup(self, scores: Scores) -> None:
        """Keeps the current weights for the soup if they are among the best, where there is one. Called on rank 0."""
        if self._soup is not None:
            self._soup.add(self._training.steps_done, self._weights(), self._card(scores))

    def go_on_after(self, step: int) -> None:
        """Removes what was kept for the soup after `step`; all of it with -1, at the end. Called on rank 0."""
        if self._soup is not None:
            self._soup.remove(step)

    def save_final(self, scores: Scores, evaluate: RunEvaluator, *, has_best: bool) -> Scores:
        """Saves the models of a run whose last step is done, and its report; returns the scores of the model to use.

        Called on every rank.

        Args:
            scores: of the current weights.
            evaluate: scores the best model, where an earlier process saved it.
            has_best: whether an evaluation was the best by the monitored metric.

        Raises:
            FileError: a file cannot be written, or the best model is damaged.
        """
        ranks, monitor = self._training.ranks, self._plan.monitored
        weights, card = self._weights(), self._card(scores)
        if (monitor is not None or self._soup is not None) and ranks.is_main:
            model_file.save(self._folder.last, weights, card)
        soup = self._soup.cook(evaluate.weights, ranks) if self._soup is not None else None
        if soup is not None and monitor is not None and has_best and self._plan.extensions:
            # The soup is of the extension's evaluations alone, and one before them may have been better.
            best = agreement.from_rank_0(ranks, lambda: self._goodness_of_best(monitor))
            own = goodness(monitor, soup.scores.metrics)
            soup = None if best is not None and (own is None or own[0] < best[0]) else soup
        if soup is not None:
            self._recorder.emit(soup.event)
            weights, scores = soup.weights, soup.scores
            card = self._card(scores)
        elif monitor is not None and not has_best:
            if ranks.is_main:
                self._recorder.warn(f"No evaluation has a value of {monitor.name}: the model is that of the last step.")
        elif monitor is not None and agreement.from_rank_0(ranks, self._best_exists):
            known, last = agreement.from_rank_0(ranks, lambda: self._best), (weights, card)
            needed = ranks.is_main or known is None or "test" in self._data.splits.splits
            weights, card = agreement.together(ranks, lambda: self._load_best() if needed else last)
            scores = known or evaluate.weights(weights)
        scores = self._with_test(scores, evaluate, weights, card)
        if ranks.is_main:
            self._write(scores, weights, card, self.sample_facts(scores, weights, card))
            for remark in open_task(card.settings).remarks(scores.records, scores.metrics, scores.split):
                self._recorder.warn(remark)
        return scores

    def rehearse_facts(self, scores: Scores) -> SampleFacts | None:
        """Reads samples for the report as the end of the run does. Called on rank 0."""
        return self.sample_facts(scores, self._weights(), self._card(scores))

    def rehearse(self, scores: Scores, samples: SampleFacts | None) -> None:
        """Saves the current weights and the report as the end of the run does. Called on rank 0."""
        self._write(scores, self._weights(), self._card(scores), samples)

    def _write(self, scores: Scores, weights: dict[str, Tensor], card: ModelCard, samples: SampleFacts | None) -> None:
        card = replace(card, metrics=_metrics(scores))
        model_file.save(self._folder.model, weights, card)
        self._write_report(scores, card, samples)

    def _with_test(self, scores: Scores, evaluate: RunEvaluator, weights: dict[str, Tensor], card: ModelCard) -> Scores:
        """`scores` with those of the weights on `test` among the metrics, where the data has `val` besides."""
        try:
            found = evaluate.test(weights, card.settings)
        except DataError as error:
            self._recorder.warn(f"The model is not scored on test: {error}")
            return scores
        if found is None:
            return scores
        metrics = _metrics(found)
        groups = None
        if card.settings.single_label:
            groups = scored_groups(self._data.splits.split("test"), found.ids, card.recipe)
        self._test = metrics | ({} if groups is None else clustered(found.records, groups.of))
        return replace(scores, metrics=scores.metrics | {"test": metrics})

    def _weights(self) -> dict[str, Tensor]:
        return self._training.evaluated_network.state_dict()

    def _card(self, scores: Scores) -> ModelCard:
        return ModelCard(
            spec=self._plan.recipe.model,
            classes=tuple(self._data.train.classes),
            preprocessing=self._plan.recipe.preprocessing,
            settings=cast(AnyTask, self._training.task.fitted(scores.metrics)),
            recipe=encode(self._plan.recipe) | {"test_view": self._plan.recipe.tta},  # as version 0.2 reads it
            environment=encode(self._plan.environment),
            metrics=_metrics(scores),
        )

    def sample_facts(self, scores: Scores, weights: dict[str, Tensor], card: ModelCard) -> SampleFacts | None:
        """What the report says of the samples besides `scores`, which are those of `weights`."""
        if not card.settings.single_label:
            return None
        preprocessing = card.preprocessing
        predictor = NetworkPredictor(
            network_of(self._training, self._plan, weights),
            self._training.task,
            open_reader(preprocessing),
            device=self._training.device,
            prepared=self._data.prepared_test(),
        )
        seconds = seconds_for_facts(self._plan.recipe.minutes)
        return sample_facts(scores, self._data.test, card, predictor, workers=self._plan.workers, seconds=seconds)

    def _write_report(self, scores: Scores, card: ModelCard, samples: SampleFacts | None) -> None:
        folder, dataset = self._folder, self._data.test
        write_report(
            folder.report,
            title=f"{scores.split} of {self._plan.recipe.name}",
            scores=scores,
            dataset=dataset,
            card=card,
            history=self._recorder.history,
            samples=samples,
            command=repeating(self._plan, folder, self._training.ranks.world),
            predictions=folder.predictions.name,
            test=self._test,
        )
        write_predictions(folder.predictions, scores, dataset, card)

    def _best_exists(self) -> bool:
        path = self._folder.best
        if not path.exists():
            self._recorder.warn(f"{path} is gone, so that model.safetensors is the model of the last step.")
        return path.exists()

    def _goodness_of_best(self, monitor: Metric) -> tuple[float, ...] | None:
        return goodness(monitor, self._load_best()[1].metrics) if self._folder.best.exists() else None

    def _load_best(self) -> tuple[dict[str, Tensor], ModelCard]:
        path = self._folder.best
        try:
            weights, card = model_file.load(path)
            if card.spec != self._plan.recipe.model:
                raise FileError(f"{path} is not a model of this run: its network is another.")
        except FileError as error:
            raise FileError(
                f"{error} Put a copy back and resume. If it is removed, model.safetensors becomes the model of the "
                "last step."
            ) from error
        return weights, card


def _metrics(scores: Scores) -> dict[str, object]:
    return {name: value for name, value in scores.summary().items() if name != "damaged"}
