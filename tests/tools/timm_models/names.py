"""The networks that timm's tests are run on: the classifiers of images."""

from __future__ import annotations

from resnets.models.catalog import CATALOG
from resnets.models.heads import LinearHead

NAMES = [name for name, spec in CATALOG.items() if isinstance(spec.head, LinearHead) and spec.dimensions == 2]
