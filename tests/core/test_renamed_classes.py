"""Every class of the table of renamed fields answers for its old names."""

from __future__ import annotations

import pytest

from resnets.artifacts.model import Model
from resnets.core import renamed
from resnets.evaluation.predictor import Ensemble, Member, NetworkPredictor
from resnets.experiments.benchmark import LoadingRate
from resnets.experiments.trial import Trial
from resnets.modalities.base import Subset
from resnets.modalities.image.datasets.folder import FolderDataset
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.transforms import Augmentations, Flip, ScaledCrop
from resnets.models.memory import StepMemory
from resnets.tasks.classification.task import Classification
from resnets.training.checkpoint import Description
from resnets.training.diagnosis import Diagnosis
from resnets.training.plan import CheckpointPolicy, Plan
from resnets.training.recipe import Recipe

CLASSES = (
    Augmentations,
    CheckpointPolicy,
    Classification,
    Description,
    Diagnosis,
    Ensemble,
    Flip,
    FolderDataset,
    InMemoryDataset,
    LoadingRate,
    Member,
    Model,
    NetworkPredictor,
    Plan,
    Recipe,
    ScaledCrop,
    StepMemory,
    Subset,
    Trial,
)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_answers_for_its_old_names(cls: type) -> None:
    assert renamed.old_fields(cls) == renamed.FIELDS[cls.__name__]
    assert hasattr(cls, "__getattr__")


def test_all_of_the_table_is_tested() -> None:
    assert {cls.__name__ for cls in CLASSES} == set(renamed.FIELDS)
