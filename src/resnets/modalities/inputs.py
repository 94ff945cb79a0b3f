"""The kinds of input: a line each here, in the unions of their settings and of their augmentations."""

from __future__ import annotations

from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations

# JSON names each by its class; a recipe and a model file without a kind have the first.
AnyInput = Preprocessing
AnyAugmentations = Augmentations
