"""What torch, timm, Keras, fastai and ultralytics call settings of a recipe, and their dotted names here."""

from __future__ import annotations

from collections.abc import Mapping

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("optimizer.lr",),
    "lr0": ("optimizer.lr",),
    "base_lr": ("optimizer.lr",),
    "max_lr": ("optimizer.lr",),
    "wd": ("optimizer.weight_decay",),
    "batch_size": ("batch",),
    "bs": ("batch",),
    "epoch": ("epochs",),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "max_epochs": ("epochs",),
    "max_steps": ("steps",),
    "smoothing": ("label_smoothing",),
    "drop_path_rate": ("model.drop_path",),
    "clip_grad": ("clip_norm",),
    "gradient_clip_val": ("clip_norm",),
    "random_state": ("seed",),
    **dict.fromkeys(("validation_split", "valid_pct"), ("val_share",)),
}
