"""Frozen dataclasses to JSON and back, and typed dotted overrides (`optimizer.lr=3e-3`).

Specs, recipes and preprocessing are all frozen dataclasses. This module is the one place that knows how they look
as JSON: a dataclass is an object of its fields, a tuple a list; where a field may hold one of several dataclasses,
the object says which with `"kind"`. Decoding is strict: an unknown key, a missing one or a value of another type is
an error that names the place.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from resnets.core.errors import UsageError, unknown
from resnets.core.files import parse_json
from resnets.core.typed import conform, dataclasses_in, field_types, item_type, members_of, short

T = TypeVar("T")
KIND = "kind"
# Metadata of a field that came later: at its default it is left out, so that JSON and hashes stay as they were before.
OMITTED_BY_DEFAULT = {"omitted by default": True}


def encode(value: Any, declared: Any = None) -> Any:
    """`value` as JSON-ready data. `declared` is the type of the field it stands in, if any."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = field_types(type(value))
        data = {
            f.name: encode(getattr(value, f.name), hints[f.name])
            for f in dataclasses.fields(value)
            if f.metadata != OMITTED_BY_DEFAULT or getattr(value, f.name) != f.default
        }
        tagged = len(dataclasses_in(declared)) > 1
        return {KIND: type(value).__name__, **data} if tagged else data
    if isinstance(value, tuple):
        item = item_type(declared)
        return [encode(v, item) for v in value]
    return value


def decode(declared: type[T], data: Any, where: str = "") -> T:
    """The value of type `declared` that `data` (parsed JSON) stands for.

    Args:
        where: the dotted place of `data`, for messages.

    Raises:
        UsageError: an unknown or missing key, a value of another type or outside its range.
    """
    return cast(T, _decode(declared, data, where))


def override(value: T, assignments: Iterable[str]) -> T:
    """`value` with every `dotted.name=text` applied; the text is read as the field's type asks.

    Where a field may hold one of several dataclasses, `field=Name` puts one in with its defaults. Tuples and whole
    dataclasses are written as JSON; `none` clears an optional field.

    Raises:
        UsageError: an unknown name (the message has the nearest), or a text that does not fit the type.
    """
    changes: list[_Change] = []
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment!r} is not a setting: write NAME=VALUE, such as batch=64.")
        changes.append((name.strip(), name.strip().split("."), text.strip()))
    return cast(T, _changed(value, changes)) if changes else value


_Change = tuple[str, list[str], str]  # the whole dotted name, what of it is left to follow, the text


def _changed(value: Any, changes: list[_Change]) -> Any:
    """`value` with all of `changes` made at once, so that only the outcome has to be possible."""
    cls: type = type(value)
    hints = field_types(cls)
    new: dict[str, Any] = {}
    inner: dict[str, list[_Change]] = {}
    for whole, (name, *rest), text in changes:
        if name not in hints:
            place = whole.removesuffix(".".join([name, *rest])).rstrip(".")
            raise unknown(f"setting of {place}" if place else "setting", name, hints)
        if rest:
            inner.setdefault(name, []).append((whole, rest, text))
        else:
            new[name] = _parse(hints[name], text, whole)
            inner.pop(name, None)
    for name, below in inner.items():
        current = new.get(name, getattr(value, name))
        if not dataclasses.is_dataclass(current):
            options = " or ".join(c.__name__ for c in dataclasses_in(hints[name]))
            advice = f"set {name}={options} first" if options else f"set {name} itself"
            raise UsageError(f"{below[0][0]}: {name} is {current!r} and has no settings of its own; {advice}.")
        new[name] = _changed(current, below)
    try:
        return dataclasses.replace(value, **new)
    except UsageError as error:
        raise UsageError(f"{', '.join(whole for whole, _, _ in changes)}: {error}") from None


def _parse(declared: Any, text: str, where: str) -> Any:
    """`text` from a command line as a value of type `declared`."""
    members = members_of(declared)
    if type(None) in members and text.lower() in ("none", "null"):
        return None
    for member in members:
        if dataclasses.is_dataclass(member) and text.lower() == cast(type, member).__name__.lower():
            return _decode(member, {}, where)
    try:
        data = parse_json(text)
    except (ValueError, RecursionError):
        lowered = text.lower()
        data = lowered == "true" if lowered in ("true", "false") else text
    if str in members and not isinstance(data, str):
        data = text
    elif float in members and isinstance(data, str):
        with contextlib.suppress(ValueError):  # JSON knows no .1 or 1_000
            data = float(text)
    return _decode(declared, data, where)


def _decode(declared: Any, data: Any, where: str) -> Any:
    return conform(declared, data, where, _decode_dataclass)


def _decode_dataclass(classes: list[type], data: dict[str, Any], where: str) -> Any:
    data = dict(data)
    cls = classes[0]
    if len(classes) > 1:
        by_name = {c.__name__: c for c in classes}
        kind = data.pop(KIND, None)
        if not isinstance(kind, str) or kind not in by_name:
            raise UsageError(f'{where or "The value"} takes "{KIND}": {" or ".join(by_name)}, not {short(kind)}.')
        cls = by_name[kind]
    hints = field_types(cls)
    for key in data:
        if key not in hints:
            raise unknown(f"setting of {where or cls.__name__}", key, hints)
    prefix = f"{where}." if where else ""
    values = {name: _decode(hints[name], data[name], prefix + name) for name in data}
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise UsageError(f"{prefix}{field.name} is missing.")
    return cls(**values)
