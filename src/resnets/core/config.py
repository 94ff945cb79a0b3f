"""Frozen dataclasses to JSON and back, and typed dotted overrides (`optimizer.lr=3e-3`).

Specs, recipes and preprocessing are all frozen dataclasses. This module is the one place that knows how they look
as JSON: a dataclass is an object of its fields, a tuple a list; where a field may hold one of several dataclasses,
the object says which with `"kind"`. Decoding is strict: an unknown key, a missing one or a value of another type is
an error that names the place. Keys and kinds of earlier versions (`core.renamed`) are read from files and refused in
overrides.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from resnets.core import renamed
from resnets.core.errors import UsageError, unknown
from resnets.core.files import parse_json
from resnets.core.typed import conform, dataclasses_in, field_types, item_type, members_of, short

T = TypeVar("T")
KIND = "kind"
# Metadata of fields, that keep files and hashes as they were before; a field may have both, joined with `|`.
# It came later: at its default it is left out.
OMITTED_BY_DEFAULT = {"omitted by default": True}
# It held only the first of its dataclasses before: that one is written and read without a kind.
UNTAGGED_FIRST = {"untagged first": True}
_PLAIN: Mapping[str, Any] = {}


def encode(value: Any, declared: Any = None, metadata: Mapping[str, Any] = _PLAIN, *, original: bool = False) -> Any:
    """`value` as JSON-ready data.

    Args:
        declared: the type of the field it stands in, if any.
        metadata: of that field.
        original: under the first names of fields and kinds, for hashes that must outlast a rename.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        hints = field_types(cls)
        data = {
            f.name: encode(getattr(value, f.name), hints[f.name], f.metadata, original=original)
            for f in dataclasses.fields(value)
            if not _is_omitted(f, getattr(value, f.name))
        }
        if original:
            data = renamed.original_keys(cls, data)
        alternatives = dataclasses_in(declared)
        if len(alternatives) < 2 or (cls is alternatives[0] and _has(metadata, UNTAGGED_FIRST)):
            return data
        return {KIND: renamed.old_kind(cls) if original else cls.__name__, **data}
    if isinstance(value, tuple):
        item = item_type(declared)
        return [encode(v, item, metadata, original=original) for v in value]
    return value


def _has(metadata: Mapping[str, Any], mark: Mapping[str, Any]) -> bool:
    return mark.items() <= metadata.items()


def _is_omitted(field: dataclasses.Field[Any], value: Any) -> bool:
    if not _has(field.metadata, OMITTED_BY_DEFAULT):
        return False
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return bool(value == default)


def decode(declared: type[T], data: Any, where: str = "", metadata: Mapping[str, Any] = _PLAIN) -> T:
    """The value of type `declared` that `data` (parsed JSON) stands for.

    Args:
        where: the dotted place of `data`, for messages.
        metadata: of the field it stands in, if any.

    Raises:
        UsageError: an unknown or missing key, a value of another type or outside its range.
    """
    return cast(T, _decode(declared, data, where, metadata))


def override(value: T, assignments: Iterable[str]) -> T:
    """`value` with every `dotted.name=text` applied; the text is read as the field's type asks.

    Where a field may hold one of several dataclasses, `field=Name` or `field=name_in_snake_case` puts one in with its
    defaults. Tuples and whole dataclasses are written as JSON; `none` clears an optional field.

    Raises:
        UsageError: an unknown name (the message has the nearest), an old name (it has the new one), or a text that
            does not fit the type.
    """
    changes: list[_Change] = []
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment!r} is not a setting: write NAME=VALUE, such as batch=64.")
        renamed.refuse_old_setting(type(value), name.strip(), text.strip())
        changes.append((name.strip(), name.strip().split("."), text.strip()))
    return cast(T, _changed(value, changes)) if changes else value


def names_of(assignments: Iterable[str]) -> set[str]:
    """The names that `assignments`, such as "optimizer.lr=0.1", assign to."""
    return {each.partition("=")[0].strip() for each in assignments}


def settings_called(value: Any, name: str, text: str) -> str:
    """What to write for the setting `name=text`, which `value` does not have under that name; empty where unknown.

    Found are settings deeper in `value` that are called so, such as `optimizer.lr` for `lr`, else those that other
    libraries call so, by the table `USUAL_NAMES` of its class. Of these there may be several, which are set together,
    such as the two sizes of a crop.
    """
    names = list(_all_settings(value))
    if found := [each for each in names if each.endswith(f".{name}")]:
        return " or ".join(f"{each}={text}" for each in found)
    usual = getattr(value, "USUAL_NAMES", {}).get(name.lower().replace("-", "_"), ())
    return " ".join(f"{each}={text}" for each in usual if each in names)


def _all_settings(value: Any, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(value):
        yield prefix + field.name
        if dataclasses.is_dataclass(inner := getattr(value, field.name)):
            yield from _all_settings(inner, f"{prefix}{field.name}.")


_Change = tuple[str, list[str], str]  # the whole dotted name, what of it is left to follow, the text


def _changed(value: Any, changes: list[_Change]) -> Any:
    """`value` with all of `changes` made at once, so that only the outcome has to be possible."""
    cls: type = type(value)
    hints = field_types(cls)
    metadata = {field.name: field.metadata for field in dataclasses.fields(value)}
    new: dict[str, Any] = {}
    inner: dict[str, list[_Change]] = {}
    for whole, (name, *rest), text in changes:
        if name not in hints:
            place = whole.removesuffix(".".join([name, *rest])).rstrip(".")
            if not rest and not place and (meant := settings_called(value, name, text)):
                raise UsageError(f"No setting is called {name!r}: did you mean {meant}?")
            raise unknown(f"setting of {place}" if place else "setting", name, hints)
        if rest:
            inner.setdefault(name, []).append((whole, rest, text))
        else:
            new[name] = _parse(hints[name], text, whole, metadata[name])
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


def is_called(cls: type, text: str) -> bool:
    """Whether `text` names a class of settings: as it is called, or by the `name` that it has for people, such as
    "multi-label"; capitals and underscores count for nothing."""
    names = (cls.__name__, name if isinstance(name := getattr(cls, "name", None), str) else "")
    return text.lower().replace("_", "") in [each.lower() for each in names if each]


def _parse(declared: Any, text: str, where: str, metadata: Mapping[str, Any]) -> Any:
    """`text` from a command line as a value of type `declared`."""
    members = members_of(declared)
    if type(None) in members and text.lower() in ("none", "null"):
        return None
    for member in members:
        if dataclasses.is_dataclass(member) and is_called(cast(type, member), text):
            return _decode(member, {}, where, metadata)
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
    return _decode(declared, data, where, metadata, from_file=False)


def _decode(
    declared: Any, data: Any, where: str, metadata: Mapping[str, Any] = _PLAIN, *, from_file: bool = True
) -> Any:
    """`decode`. What is not from a file, but from a command line, takes no old names."""
    untagged = _has(metadata, UNTAGGED_FIRST)
    return conform(declared, data, where, functools.partial(_decode_dataclass, untagged=untagged, from_file=from_file))


def _decode_dataclass(classes: list[type], data: dict[str, Any], where: str, *, untagged: bool, from_file: bool) -> Any:
    data = dict(data)
    cls = classes[0]
    if len(classes) > 1 and (KIND in data or not untagged):
        by_name = {c.__name__: c for c in classes}
        given = data.pop(KIND, None)
        kind = renamed.current_kind(given, by_name)
        if kind != given and not from_file:
            raise UsageError(f"{where or 'The value'}: {given} is now {kind}.")
        if not isinstance(kind, str) or kind not in by_name:
            raise UsageError(f'{where or "The value"} takes "{KIND}": {" or ".join(by_name)}, not {short(given)}.')
        cls = by_name[kind]
    prefix = f"{where}." if where else ""
    if from_file:
        data = renamed.current_keys(cls, data, prefix)
    else:
        renamed.refuse_old_keys(cls, data, prefix)
    hints = field_types(cls)
    for key in data:
        if key not in hints:
            raise unknown(f"setting of {where or cls.__name__}", key, hints)
    fields = dataclasses.fields(cls)
    metadata = {field.name: field.metadata for field in fields}
    values = {
        name: _decode(hints[name], data[name], prefix + name, metadata[name], from_file=from_file) for name in data
    }
    for field in fields:
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise UsageError(f"{prefix}{field.name} is missing.")
    return cls(**values)
