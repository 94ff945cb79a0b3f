"""Keys of results that had another name in version 0.1.0, which stays beside the new one for one version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from resnets.core import renamed

T = TypeVar("T")
_NEW = {"view_error": "tta_error", "view_top5_error": "tta_top5_error"}  # by old key


def with_old_keys(values: Mapping[str, T]) -> dict[str, T]:
    """`values` with each renamed key under its old name as well."""
    return renamed.with_old_keys(values, **_NEW)


def with_new_keys(values: Mapping[str, T]) -> dict[str, T]:
    """`values`, which version 0.1.0 may have written, with each renamed key under its new name as well."""
    return {**{new: values[old] for old, new in _NEW.items() if old in values}, **values}
