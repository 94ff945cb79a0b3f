"""Recipes for folders of recordings."""

from __future__ import annotations

from resnets.modalities.audio.augmentations import SoundAugmentations
from resnets.modalities.audio.log_mel import LogMel
from resnets.models.spec import Spec
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import OneCycle


def log_mel() -> Recipe:
    """A small residual network on the log-mel spectrogram of a second of sound at 8 kHz, such as spoken words.

    Source: this project (docs/log.md). Shifts in time, changes of speed (Ko et al. 2015) and masks (SpecAugment, Park
    et al. 2019) are the usual augmentations of speech.
    Cost: 64 seconds for 300 recordings of half a second, on two cores with other work.
    Expected: 99.0% on takes 0 to 4 of 600 spoken digits, trained on takes 5 to 9; on a new speaker 76 to 95%.
    Command: resnets train audio/logmel --data FOLDER, for longer sounds with preprocessing.seconds=N, for higher ones
    with preprocessing.rate=16000
    """
    return Recipe(
        name="audio/logmel",
        data="sounds",
        model=Spec(depths=(1, 1, 1), widths=(32, 64, 128), stem_width=32, channels=1, classes=10),
        preprocessing=LogMel(rate=8000),
        augmentations=SoundAugmentations(
            shift=1.0,
            speed=0.15,
            gain=6.0,
            frequency_masks=1,
            frequency_width=8,
            time_masks=1,
            time_width=12,
        ),
        batch=30,
        epochs=40,
        optimizer=SGD(lr=0.1, nesterov=True, weight_decay=5e-4, decay_norms=False),
        schedule=OneCycle(),
        label_smoothing=0.1,
        ema=0.99,
        precision="fp32",
        evaluate_every=5,
    )
