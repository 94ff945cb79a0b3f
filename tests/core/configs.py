"""Configs and JSON values drawn at random, for the tests of JSON and of overrides."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import strategies as st

from resnets.core.config import encode
from resnets.modalities.image.preprocessing import Color, Preprocessing, encode_mean_image
from resnets.modalities.image.transforms import (
    Affine,
    Augmentations,
    AutoAugment,
    ColorJitter,
    CutMix,
    Flip,
    Mixup,
    PaddedCrop,
    RandAugment,
    RandomErasing,
    RandomResizedCrop,
    TrivialAugmentWide,
)
from resnets.models.initialization import Initialization
from resnets.models.spec import MOST_BLOCKS, MOST_CHANNELS, Spec
from resnets.recipes.catalog import RECIPES
from resnets.tasks.classification.settings import Classify, GeneralizedCrossEntropy, SymmetricCrossEntropy
from resnets.training.recipe import LAMB, SGD, AdamW, Recipe
from resnets.training.schedules import Constant, Cosine, OneCycle, Plateau, Step, Warmup

DIGITS = RECIPES["digits"]()

share = st.floats(0, 1, exclude_max=True)
positive = st.floats(0, 1, exclude_min=True)
number = st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(1, 2**61)
channels = st.integers(1, MOST_CHANNELS // 2)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    stages = draw(st.integers(1, 5))
    depths, widths = (
        st.lists(st.integers(1, most), min_size=stages, max_size=stages).map(tuple)
        for most in (MOST_BLOCKS // 5, MOST_CHANNELS)
    )
    block = draw(st.sampled_from(("basic", "bottleneck")))
    grouped = {"groups": channels, "group_width": channels} if block == "bottleneck" else {}
    return draw(
        st.builds(
            Spec,
            block=st.just(block),
            depths=depths,
            widths=widths,
            stem_width=channels.map(lambda n: 2 * n),
            shortcut=st.sampled_from(("B", "C", "D")),
            gate_reduction=count,
            norm_eps=positive,
            norm_momentum=positive,
            dropout=share,
            drop_path=share,
            output_stride=st.none(),
            dimensions=st.just(2),
            channels=channels,
            classes=channels,
            **grouped,
        )
    )


@st.composite
def preprocessings(draw: st.DrawFn) -> Preprocessing:
    color: Color = draw(st.sampled_from(get_args(Color)))
    channels = 1 if color == "L" else 3
    crop = draw(st.integers(1, 8))
    pixels = np.full((channels, crop, crop), draw(st.floats(0, 1)), np.float32)
    return Preprocessing(
        resize=draw(st.integers(crop, 16384)),
        crop=crop,
        interpolation=draw(st.sampled_from(("nearest", "bilinear", "bicubic"))),
        antialias=draw(st.booleans()),
        color=color,
        mean=tuple(draw(st.lists(number, min_size=channels, max_size=channels))),
        std=tuple(draw(st.lists(positive, min_size=channels, max_size=channels))),
        mean_image=draw(st.sampled_from((None, encode_mean_image(pixels)))),
    )


AUGMENTATIONS = st.builds(
    Augmentations,
    crop=st.sampled_from((None, RandomResizedCrop(), RandomResizedCrop(scale=(0.5, 0.5)))),
    transforms=st.lists(st.sampled_from((PaddedCrop(padding=2), Flip(), Affine(degrees=3), ColorJitter(hue=0.1)))).map(
        tuple
    ),
    mix=st.lists(st.sampled_from((Mixup(alpha=0.3), CutMix(), CutMix(per="batch")))).map(tuple),
    auto_augment=st.sampled_from(
        (None, AutoAugment(fill=(1, 2, 3)), TrivialAugmentWide(), RandAugment(scale="timm", magnitude=7.5, std=0.5))
    ),
    erasing=st.sampled_from((None, RandomErasing(p=0.25))),
)
RECIPE = st.builds(
    Recipe,
    name=st.text(),
    data=st.text(),
    model=specs(),
    preprocessing=preprocessings(),
    augmentations=AUGMENTATIONS,
    batch=st.just(64),
    bn_batch=st.sampled_from((None, 16)),
    epochs=st.floats(0, 1e6, exclude_min=True, exclude_max=True),
    steps=st.none(),
    optimizer=st.builds(SGD, lr=positive, momentum=share)
    | st.builds(AdamW, lr=positive, eps=positive)
    | st.builds(LAMB, lr=positive, eps=positive),
    task=st.sampled_from(
        (
            Classify(),
            Classify(loss="binary_cross_entropy", target_threshold=0.2),
            Classify(loss=GeneralizedCrossEntropy(q=0.5)),
            Classify(loss=SymmetricCrossEntropy(alpha=6.0, beta=0.1)),
        )
    ),
    repeated_augmentation=st.sampled_from((1, 3)),
    schedule=st.sampled_from((Constant(), Cosine(final=0.1), OneCycle(), Plateau(patience=3), Step(milestones=()))),
    warmup=st.sampled_from((None, Warmup(epochs=1.14, shape="constant"))),
    label_smoothing=share,
    ema=st.none() | share,
    clip_norm=st.none() | positive,
    initialization=st.builds(Initialization),
    evaluate_every=positive,
    seed=st.integers(0, 2**63 - 1),
)


WORDS = st.sampled_from(
    sorted(
        {*encode(DIGITS), *encode(Spec()), *encode(SGD()), *encode(Preprocessing()), *encode(Augmentations()), "kind"}
    )
)
VALUES = st.sampled_from(["SGD", "AdamW", "Step", "Flip", "basic", "bottleneck", "deep", "L", "fp32", "", "AAAA"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.sampled_from((2**64, 10**400)) | st.floats() | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)
