"""The methods of `Task` in which most tasks have nothing of their own to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch
from resnets.tasks.base import SampleRecords
from resnets.tasks.sections import Paragraph


class PlainTask:
    """Samples that weigh the same, no verdict, no remarks, answers that are their JSON, and no files in formats of
    others; see `Task`."""

    def weight(self, batch: Batch) -> Tensor | None:
        return None

    def verdict(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        classes: tuple[str, ...],
        history: Sequence[Mapping[str, Any]],
    ) -> Paragraph | None:
        return None

    def remarks(self, records: SampleRecords, metrics: Mapping[str, Any], split: str) -> tuple[str, ...]:
        return ()

    def record_files(
        self, records: SampleRecords, dataset: Dataset, ids: NDArray[Any], classes: tuple[str, ...]
    ) -> Mapping[str, Any]:
        return {}

    def answer_extra(self, answer: Any) -> dict[str, Any]:
        return {}

    def answer_files(self, answers: Sequence[tuple[str, Any]], classes: tuple[str, ...]) -> Mapping[str, Any]:
        return {}
