"""Checks of values against declared types, for the fields of configs, the arguments of functions and JSON.

A `Literal` takes only its members, an integer must fit 64 bits, a float must be finite. Equivalent values are converted
to the declared type: a list to a tuple, an int to a float, numbers, texts and arrays of NumPy and torch to Python's, a
path or a `torch.device` to a string.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, cast

from resnets.core.errors import UsageError, nearest

T = TypeVar("T")
MAX_INT = 2**63 - 1
_WRONG = object()
_OWN_TYPES = (str, int, float, bool, type(None), list, tuple, dict)

# Makes one of several dataclasses from a JSON object; the last argument is its dotted name, for messages.
Build = Callable[[list[type], dict[str, Any], str], Any]


def conform(declared: Any, value: Any, where: str, build: Build | None = None) -> Any:
    """`value`, converted to the type `declared`.

    Args:
        where: the dotted name of the field of `value`, for messages.
        build: makes dataclasses from dictionaries; without it, only instances are accepted.

    Raises:
        UsageError: the value does not fit; the message has the choices, and the most similar one to a string.
    """
    members = members_of(declared)
    if Any not in members:
        value = _plain(value, members)
    if build is not None and isinstance(value, dict) and (classes := dataclasses_in(declared)):
        return build(classes, value, where)
    for member in members:
        found = _as_member(member, value, where, build)
        if found is not _WRONG:
            return found
    raise UsageError(f"{where or 'The value'} takes {_describe(members)}, not {short(value)}{_advice(members, value)}")


def path_text(value: str | os.PathLike[str] | None) -> str | None:
    """A name or a path as text; None stays."""
    return None if value is None else os.fspath(value)


def checked(cls: type[T]) -> type[T]:
    """Class decorator that checks and converts the fields of new instances; see `conform`.

    It stands below `@dataclass(frozen=True)` and runs before the class's `__post_init__`, which can rely on the types.
    A value that does not fit its field raises UsageError when the instance is made.
    """
    own: Callable[[Any], None] | None = getattr(cls, "__post_init__", None)  # it may be inherited

    def __post_init__(self: Any) -> None:  # noqa: N807
        for name, declared in field_types(cast(Any, cls)).items():
            value = getattr(self, name)
            if value is getattr(cls, name, _WRONG):  # a default: skipped, since catalogs are made at every start
                continue
            found = conform(declared, value, name)
            if found is not value:
                object.__setattr__(self, name, found)
        if own is not None:
            own(self)

    cast(Any, cls).__post_init__ = __post_init__
    return cls


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """The declared type of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cast(Any, cls))}


@functools.cache
def members_of(declared: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the type itself."""
    if typing.get_origin(declared) in (Union, types.UnionType):
        return tuple(m for a in typing.get_args(declared) for m in members_of(a))
    return (declared,)


def dataclasses_in(declared: Any) -> list[type]:
    """The dataclasses among the alternatives of `declared`."""
    return [m for m in members_of(declared) if dataclasses.is_dataclass(m) and isinstance(m, type)]


def item_type(declared: Any) -> Any:
    """The type of the items where one alternative of `declared` is a tuple, else None."""
    for member in members_of(declared):
        if typing.get_origin(member) is tuple:
            return typing.get_args(member)[0]
    return None


def short(value: Any) -> str:
    """`value` for a message, at most 60 characters; what takes several lines, such as a network, by its type."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a whole number of more digits than Python shows
        return f"{type(value).__name__} too large to show"
    if "\n" in text:
        return f"of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any, members: tuple[Any, ...]) -> Any:
    """`value` as Python's own number, text or, where a tuple is declared, list; anything else as it is.

    Arrays and tensors of one number count as numbers. NumPy and torch are not imported.
    """
    if type(value) in _OWN_TYPES or any(isinstance(member, type) and isinstance(value, member) for member in members):
        return str.__str__(value) if isinstance(value, str) else value
    if (type(value).__module__.partition(".")[0]) not in ("numpy", "torch") or not hasattr(value, "tolist"):
        return value
    takes_lists = any(typing.get_origin(member) is tuple for member in members)
    if takes_lists or getattr(value, "ndim", 1) == 0:
        return value.tolist()  # of no dimension: a number
    return value


def _as_member(member: Any, value: Any, where: str, build: Build | None) -> Any:
    """`value` converted to `member`, one alternative of a type; `_WRONG` where it does not fit."""
    origin = typing.get_origin(member)
    if origin is Literal:
        fits = (o for o in typing.get_args(member) if _same_kind(value, o) and value == o)
        return next(fits, _WRONG)
    if origin is tuple:
        return _as_tuple(member, value, where, build) if isinstance(value, list | tuple) else _WRONG
    if member is float:
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return float(value) if number and abs(value) <= sys.float_info.max else _WRONG
    if member is int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return int(value) if whole and abs(value) <= MAX_INT else _WRONG
    if member is str and (isinstance(value, os.PathLike) or _is_torch_device(value)):
        return os.fsdecode(value) if isinstance(value, os.PathLike) else str(value)
    if origin is os.PathLike:
        return value if isinstance(value, os.PathLike) else _WRONG
    if isinstance(member, type) and member is not Any:
        return value if isinstance(value, member) else _WRONG
    return value  # Any, or a Callable, which only the type checker checks


def _as_tuple(member: Any, value: list[Any] | tuple[Any, ...], where: str, build: Build | None) -> Any:
    arguments = typing.get_args(member)
    if arguments[-1] is not Ellipsis and len(arguments) != len(value):
        raise UsageError(f"{where} takes {len(arguments)} values, not {len(value)}.")
    items = tuple(conform(arguments[0], v, f"{where}[{i}]", build) for i, v in enumerate(value))
    same = isinstance(value, tuple) and all(a is b for a, b in zip(items, value, strict=True))
    return value if same else items


def _is_torch_device(value: Any) -> bool:
    """Whether it is a `torch.device`, without importing torch."""
    return (type(value).__module__, type(value).__name__) == ("torch", "device")


def _same_kind(value: Any, option: Any) -> bool:
    return isinstance(value, type(option)) and isinstance(value, bool) == isinstance(option, bool)


def _advice(members: tuple[Any, ...], value: Any) -> str:
    choices = [o for m in members if typing.get_origin(m) is Literal for o in typing.get_args(m) if isinstance(o, str)]
    near = nearest(value, choices)[:1] if isinstance(value, str) else []
    if isinstance(value, numbers.Integral) and int in members and abs(int(value)) > MAX_INT:
        return f": none beyond {MAX_INT:,}."
    return f": did you mean {near[0]!r}?" if near else "."


def _describe(members: tuple[Any, ...]) -> str:
    names = []
    for member in members:
        if typing.get_origin(member) is Literal:
            names.append(" or ".join(repr(a) for a in typing.get_args(member)))
        elif typing.get_origin(member) is tuple:
            numbers_alone = typing.get_args(member)[0] in (int, float)
            names.append("a list such as [1, 2]" if numbers_alone else "a list")
        elif typing.get_origin(member) is os.PathLike:
            names.append("a path")
        elif member is type(None):
            names.append("none")
        else:
            names.append(
                {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(
                    member, getattr(member, "__name__", str(member))
                )
            )
    return " or ".join(names)
