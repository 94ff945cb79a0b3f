"""A function of version 0.2, now a method of the settings; to be deleted with `core.old_modules`."""

from __future__ import annotations

from resnets.data.scan import DatasetScan
from resnets.modalities.image.preprocessing import Normalize, Preprocessing


def normalized(preprocessing: Preprocessing, how: Normalize, found: DatasetScan) -> Preprocessing:
    """`preprocessing` with the statistics of the training set that `how` names; see `Normalize`."""
    if how == "given":
        return preprocessing
    assert found.mean is not None
    assert found.std is not None
    return preprocessing.with_statistics(how, found.mean, found.std)
