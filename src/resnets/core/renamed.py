"""Names that changed: one table of them, and how each place deals with the old ones.

- Files (`config.decode`): old keys and kinds are read, in silence, for as long as there are such files.
- The command line (`config.override`, `signatures.Parser`): old ones are refused with the new name.
- Python (`renamed_fields`, `renamed_arguments`): old ones work for one version, with a DeprecationWarning.
- `Plan.sha256` is taken over the first names (`original_keys`), so that no rename changes the hash of a plan.

Modules and classes that moved are in `resnets.core.old_modules`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from resnets.core.errors import UsageError
from resnets.core.typed import dataclasses_in, field_types, short

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

# By today's name of a class: the old name of a field, a property or a method, and the new one. Where a pair became two
# fields, the two in its order.
FIELDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Recipe": {
        "views": ("augmentations",),
        "group": ("bn_batch",),
        "capture": ("cuda_graph",),
        "exact_statistics": ("precise_bn",),
        "test_view": ("tta",),
    },
    "Augmentations": {"augment": ("transforms",), "growth": ("progressive_resize",)},
    "Flip": {"chance": ("p",)},
    "ScaledCrop": {"sides": ("min_size", "max_size")},
    "Plan": {"keeping": ("checkpoints",)},
    "CheckpointPolicy": {"best": ("monitor",)},
    "Description": {"memory": ("state",)},  # of a checkpoint
    "Model": {"test_view": ("tta",)},
    "Trial": {
        "first": ("initial_network",),
        "at": ("network_at",),
        "kept": ("snapshot_steps",),
        "batch": ("first_batch",),
    },
    "NetworkPredictor": {"see": ("load",), "outputs": ("predict",)},
    "Ensemble": {"see": ("load",), "outputs": ("predict",)},
    "Member": {"judge": ("predictor",)},
    "Subset": {"source": ("dataset",), "picture": ("image",)},
    "FolderDataset": {"picture": ("image",)},
    "InMemoryDataset": {"picture": ("image",)},
    "Classification": {"observe": ("evaluate_batch",)},
    "Diagnosis": {"pictures": ("images",)},
    "StepMemory": {"pictures": ("images",)},
    "LoadingRate": {"pictures": ("images",)},
}
# Dataclasses that a file or a command line can name: the old name and the new one.
KINDS: Mapping[str, str] = {
    "Views": "Augmentations",
    "Growth": "ProgressiveResize",
    "Keeping": "CheckpointPolicy",
}


@functools.cache
def old_fields(cls: type) -> Mapping[str, tuple[str, ...]]:
    """The old names of what `cls` has, each with the new ones."""
    fields = dataclasses.fields(cast(Any, cls)) if dataclasses.is_dataclass(cls) else ()
    names = {*dir(cls), *(field.name for field in fields)}
    table = FIELDS.get(cls.__name__, {})
    return {old: new for old, new in table.items() if old not in names and names.issuperset(new)}


def old_kind(cls: type) -> str:
    """The first name of a dataclass."""
    return next((old for old, new in KINDS.items() if new == cls.__name__), cls.__name__)


def current_kind(name: object, classes: Iterable[str]) -> object:
    """The one of `classes` that is called `name` or was once; else `name` itself."""
    known = set(classes)
    if not isinstance(name, str) or name in known:
        return name
    return KINDS[name] if KINDS.get(name) in known else name


def current_keys(cls: type, data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The JSON object `data` of a `cls` under today's names of its fields.

    Args:
        prefix: the dotted place of `data` with a dot after it, or nothing; for messages.

    Raises:
        UsageError: an old name stands beside the new one, or a pair that became two fields is not a pair.
    """
    found = dict(data)
    for old, new in old_fields(cls).items():
        if old not in data:
            continue
        if twice := [name for name in new if name in data]:
            raise UsageError(f"{prefix}{old} is the old name of {prefix}{twice[0]}: give one of the two.")
        value = found.pop(old)
        if len(new) == 1:
            found[new[0]] = value
        elif isinstance(value, list) and len(value) == len(new):
            found |= dict(zip(new, value, strict=True))
        else:
            raise UsageError(f"{prefix}{old} takes a list of {len(new)} values, not {short(value)}.")
    return found


def original_keys(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object `data` of a `cls` under the first names of its fields."""
    found = dict(data)
    for old, new in old_fields(cls).items():
        if all(name in found for name in new):
            values = [found.pop(name) for name in new]
            found[old] = values if len(values) > 1 else values[0]
    return found


def with_old_keys(data: Mapping[str, T], **old: str) -> dict[str, T]:
    """Returns `data` with each value that was renamed also under its old key, for one version.

    Args:
        old: the old key, and the new one; new keys that `data` lacks are skipped.
    """
    return {**data, **{before: data[now] for before, now in old.items() if now in data}}


def stored(owner: str, data: Mapping[str, Any], name: str) -> Any:
    """What a JSON object of a class called `owner` has under the name of a field, or under its old name.

    For packages that may not import the class, such as one that reads the recipe in a model file. None where there is
    neither.
    """
    table = FIELDS.get(owner, {})
    return next((data[key] for key in (name, *(old for old in table if table[old] == (name,))) if key in data), None)


def refuse_old_keys(cls: type, data: Mapping[str, Any], prefix: str = "") -> None:
    """Raises UsageError if `data`, given on a command line for a `cls`, has an old name of a field."""
    for old, new in old_fields(cls).items():
        if old in data:
            raise UsageError(f"{prefix}{old} is now {' and '.join(prefix + name for name in new)}.")


def refuse_old_setting(cls: type, name: str, text: str) -> None:
    """Raises UsageError if the setting `name=text` of a `cls` has an old name in it; the message has the new setting.

    Args:
        name: dotted, such as "views.crop.sides".
    """
    classes: list[type] = [cls]
    changes: list[str] = []
    settings: list[tuple[list[str], str]] = [([], text)]  # what to write instead: one, or one for each of two fields
    for part in name.split("."):
        owner = next((c for c in classes if part in field_types(cast(Any, c))), None)
        new: tuple[str, ...] = (part,)
        if owner is None and (owner := next((c for c in classes if part in old_fields(c)), None)) is not None:
            new = old_fields(owner)[part]
            changes.append(f"{part} is now {' and '.join(new)}")
        settings = [([*way, each], value) for way, whole in settings for each, value in _shared_out(new, whole)]
        classes = dataclasses_in(field_types(cast(Any, owner))[new[0]]) if owner is not None else []
    if (kind := current_kind(text, [c.__name__ for c in classes])) != text:
        changes.append(f"{text} is now {kind}")
        settings = [(way, str(kind)) for way, _ in settings]
    if changes:
        written = " ".join(f"{'.'.join(way)}={value}" for way, value in settings)
        raise UsageError(f"{', and '.join(changes)}: write {written}")


def _shared_out(names: tuple[str, ...], text: str) -> list[tuple[str, str]]:
    """Each of the fields `names` with its part of `text`, which is a JSON list where they are several."""
    if len(names) == 1:
        return [(names[0], text)]
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != len(names):
        return [(name, "...") for name in names]
    return [(name, json.dumps(value)) for name, value in zip(names, values, strict=True)]


def renamed_fields(cls: type[T]) -> type[T]:
    """Class decorator, above `@dataclass`: old names in the table work for one version, with a DeprecationWarning.

    They are taken as keywords, by `dataclasses.replace` too, and read as attributes.

    Raises:
        UsageError: when an instance is made, an old name beside the new one.
    """
    make = cls.__init__

    @functools.wraps(make)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        old = old_fields(cast(Any, cls))
        for name in [name for name in kwargs if name in old]:
            frames, by_replace = _frames_of_dataclasses()
            warnings.warn(_renamed(cls, name), DeprecationWarning, stacklevel=2 + frames)
            value = kwargs.pop(name)
            given = [new for new in old[name] if new in kwargs]
            if given and not by_replace:  # which gives the fields that do not change as well
                raise UsageError(f"{cls.__name__}: {name} is the old name of {given[0]}: give one of the two.")
            kwargs |= {old[name][0]: value} if len(old[name]) == 1 else dict(zip(old[name], value, strict=True))
        make(self, *args, **kwargs)

    def __getattr__(self: Any, name: str) -> Any:  # noqa: N807 - for names that are not found otherwise
        new = old_fields(cast(Any, cls)).get(name)
        if new is None:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}", name=name, obj=self)
        warnings.warn(_renamed(cls, name), DeprecationWarning, stacklevel=2)
        values = tuple(getattr(self, each) for each in new)
        return values if len(new) > 1 else values[0]

    cast(Any, cls).__init__ = __init__
    cast(Any, cls).__getattr__ = __getattr__
    return cls


def _renamed(cls: type, name: str) -> str:
    return f"{cls.__name__}.{name} is now {' and '.join(old_fields(cls)[name])}; the old name goes in the next version."


def _frames_of_dataclasses() -> tuple[int, bool]:
    """How many frames of `dataclasses` stand above the caller of this function, and whether there are any."""
    count = 0
    while sys._getframe(2 + count).f_globals.get("__name__") == "dataclasses":
        count += 1
    return count, count > 0


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator, above `@checked_arguments`: old names of keyword arguments work, with a DeprecationWarning.

    A command line that is made of the function's signature refuses the old flags with the new ones.

    Args:
        names: each old name with the new one, such as `best="monitor"`.

    Raises:
        UsageError: on a call, an old name beside the new one.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in [name for name in kwargs if name in names]:
                new = names[old]
                title = getattr(function, "__name__", "function")
                if new in kwargs:
                    raise UsageError(f"{title}: {old} is the old name of {new}: give one of the two.")
                message = f"{title}({old}=...) is now {title}({new}=...); the old name goes in the next version."
                warnings.warn(message, DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        cast(Any, call).renamed_arguments = dict(names)
        return call

    return decorated
