"""Augmentations, a file each, and the deterministic transforms `resize` and `normalize`.

The names below are read without torch or NumPy, as recipes are; `resize` and `normalize` import them.
"""

from resnets.modalities.image.transforms.affine import Affine
from resnets.modalities.image.transforms.augmentations import Augmentations, Crop, Mix, Policy, Transform
from resnets.modalities.image.transforms.auto_augment import AutoAugment
from resnets.modalities.image.transforms.color_jitter import ColorJitter
from resnets.modalities.image.transforms.cutmix import CutMix
from resnets.modalities.image.transforms.cutout import Cutout
from resnets.modalities.image.transforms.flip import Flip
from resnets.modalities.image.transforms.gaussian_blur import GaussianBlur
from resnets.modalities.image.transforms.grayscale import Grayscale
from resnets.modalities.image.transforms.mixup import Mixup
from resnets.modalities.image.transforms.padded_crop import PaddedCrop
from resnets.modalities.image.transforms.pca_color import PCAColor
from resnets.modalities.image.transforms.progressive_resize import ProgressiveResize
from resnets.modalities.image.transforms.rand_augment import RandAugment
from resnets.modalities.image.transforms.random_erasing import RandomErasing
from resnets.modalities.image.transforms.random_resized_crop import RandomResizedCrop
from resnets.modalities.image.transforms.scaled_crop import ScaledCrop
from resnets.modalities.image.transforms.trivial_augment import TrivialAugmentWide

__all__ = [
    "Affine",
    "Augmentations",
    "AutoAugment",
    "ColorJitter",
    "Crop",
    "CutMix",
    "Cutout",
    "Flip",
    "GaussianBlur",
    "Grayscale",
    "Mix",
    "Mixup",
    "PCAColor",
    "PaddedCrop",
    "Policy",
    "ProgressiveResize",
    "RandAugment",
    "RandomErasing",
    "RandomResizedCrop",
    "ScaledCrop",
    "Transform",
    "TrivialAugmentWide",
]
