"""Labels that are likely wrong: confident learning (Northcutt et al. 2021, 1911.00068).

It needs answers to samples that the model was not trained on, such as those of folds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords


def suspicion(records: SampleRecords) -> NDArray[np.float64]:
    """(N,) how suspicious each label is, from -1 to 1: the probability of the predicted class less that of the label
    (the negative normalised margin, section 3.2); of a sample whose label is predicted, minus the probability of it."""
    label, predicted = probabilities(records)
    return np.where(records["label"] == records["predicted"], -label, predicted - label)


def likely_wrong(records: SampleRecords) -> NDArray[np.int64]:
    """The numbers of the samples whose label is likely wrong, the most suspicious first.

    It is one where another class is predicted at least as surely as that class is, in the mean, where it is the label
    (the thresholds of equation 2); a class without samples has none.
    """
    own, predicted = probabilities(records)
    sums, counts = (np.bincount(records["label"], each, _classes(records)) for each in (own, None))
    thresholds = np.divide(sums, counts, out=np.full(len(sums), np.inf), where=counts > 0)
    found = (records["label"] != records["predicted"]) & (predicted >= thresholds[records["predicted"]])
    numbers = np.flatnonzero(found)
    return numbers[np.argsort(-suspicion(records)[numbers], kind="stable")]


def probabilities(records: SampleRecords) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) the probabilities of the label and of the predicted class, by the logits as they are."""
    predicted = records.get("uncalibrated_confidence", records["confidence"])
    return np.exp(-records["loss"].astype(np.float64)), predicted.astype(np.float64)


def _classes(records: SampleRecords) -> int:
    return int(max(records["label"].max(initial=-1), records["predicted"].max(initial=-1))) + 1
