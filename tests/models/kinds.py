"""The kinds of networks in the catalog: the fast suite takes one network of each, the slow tests all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from resnets.models import counts
from resnets.models.box_heads import BoxHead
from resnets.models.catalog import CATALOG
from resnets.models.spec import Spec


def _kind(spec: Spec) -> Spec:
    """`spec` without what makes a network deeper or wider: the layers of one kind are of the same classes."""
    size: dict[str, Any] = {"depths": (1, 1, 1), "widths": (64, 64, 64), "stem_width": 64, "classes": 1000}
    grouped = (32, 4) if spec.groups > 1 else (1, 64)
    return replace(spec, **size, groups=grouped[0], group_width=grouped[1])


def without_detectors(names: Iterable[str] = CATALOG) -> list[str]:
    """`names` of networks that take one tensor: the tests of detectors are in tests/tasks/detection."""
    return [name for name in names if not isinstance(CATALOG[name].head, BoxHead)]


def each(names: Iterable[str] = CATALOG) -> list[Any]:
    """`names` without detectors as parameters of a test; all but the smallest network of each kind are slow."""
    names = without_detectors(names)
    smallest: dict[Spec, str] = {}
    for name in sorted(names, key=lambda name: counts.parameters(CATALOG[name])):
        smallest.setdefault(_kind(CATALOG[name]), name)
    fast = set(smallest.values())
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.slow]) for name in names]
