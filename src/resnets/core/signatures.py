"""Command-line parsers made from function signatures, with argparse; and arguments checked against the signatures.

A function's positional parameters become arguments, its keyword parameters flags, and its docstring the help. Flags can
be of type str, Path, int, float, bool or Literal, each optional. The standard library does this in a twentieth of a
second; the parser libraries that were tried cost the start-up of every command.
"""

from __future__ import annotations

import argparse
import builtins
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, ParamSpec, TypeVar, Union, cast

from resnets.core.errors import ArgumentError, UsageError, unknown
from resnets.core.lazy import LazyModule
from resnets.core.typed import conform, field_types

P = ParamSpec("P")
R = TypeVar("R")


# What other libraries call arguments, and their names here.
_USUAL_NAMES: Mapping[str, str] = {
    "amp": "precision",
    "callbacks": "subscribers",
    "cuda": "device",
    "early_stopping": "patience",
    "folds": "fold",
    "gpu": "device",
    "image_size": "size",
    "img_size": "size",
    "imgsz": "size",
    "input_size": "size",
    "k_folds": "fold",
    "map_location": "device",
    "n_jobs": "workers",
    "n_splits": "fold",
    "output_dir": "out",
    "pretrained": "weights",
    "progress": "quiet",
    "resolution": "size",
    "save_dir": "out",
    "verbose": "quiet",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError`, and names the nearest option.

    Attributes:
        renamed: old names of options, which are refused, each with the new one.
        settings_base: see `takes_settings`.
    """

    renamed: Mapping[str, str] = types.MappingProxyType({})
    settings_base: Callable[[], Any] | None = None

    def error(self, message: str) -> NoReturn:
        # In intermixed parsing, argparse counts those that may be left out among the arguments that are required.
        for action in self._actions:
            if action.nargs == "*":
                message = message.replace(f", {action.metavar}", "")
        raise UsageError(f"{message[0].upper()}{message[1:]}. See {self.prog} --help.")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses `argv`, in which options and arguments may stand in any order.

        Raises:
            UsageError: an argument is missing, unknown, renamed or of another type.
        """
        for flag in (text.partition("=")[0] for text in argv):
            if flag in self.renamed:
                raise UsageError(f"{flag} is now {self.renamed[flag]}. See {self.prog} --help.")
        parsed, rest = self.parse_known_intermixed_args(list(argv))
        if rest and not rest[0].startswith("-"):
            raise UsageError(f"{self.prog} has no place for {rest[0]!r}. See {self.prog} --help.")
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            raise self._unknown_option(rest[0], argv, flags)
        return parsed

    def _unknown_option(self, given: str, argv: Sequence[str], flags: Sequence[str]) -> UsageError:
        """The error for the option `given` of `argv`, which is none of `flags`."""
        flag, equals, value = given.partition("=")
        kind, name = f"option of {self.prog}", flag.lstrip("-").replace("-", "_")
        if (usual := _flag(_USUAL_NAMES.get(name, ""))) in flags:
            return UsageError(f"No {kind} is called {flag!r}: did you mean {usual}?")
        if self.settings_base is not None:
            from resnets.core.config import settings_called

            base, after = self.settings_base(), [*argv, ""][list(argv).index(given) + 1]
            value = value if equals else "VALUE" if not after or after.startswith("--") else after
            own = f"{name}={value}" if name in field_types(cast(Any, type(base))) else ""
            meant = own or settings_called(base, name, value)
            if meant and _flag(meant.partition("=")[0]) not in flags:
                return UsageError(f"No {kind} is called {flag!r}: did you mean the setting {meant}, without dashes?")
        return unknown(kind, flag, flags)


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that checks the arguments of each call against the annotations, by the rules of `resnets.core.typed`.

    Raises:
        UsageError: on a call, if an argument does not fit its type; the message lists the choices.
        ArgumentError: on a call with a keyword that the function does not have; the message has the nearest.
    """

    @functools.cache
    def declaration() -> tuple[inspect.Signature, dict[str, Any]]:  # on the first call: an import costs nothing
        return inspect.signature(function), type_hints(function, unloaded=Any)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        signature, hints = declaration()
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _no_such_argument(function, signature, kwargs) or error from None
        for name, value in bound.arguments.items():
            declared = hints.get(name, Any)
            if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(conform(declared, each, name) for each in value)
            else:
                bound.arguments[name] = conform(declared, value, name)
        return function(*bound.args, **bound.kwargs)

    return call


def takes_settings(base: Callable[[], Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator, below `@checked_arguments`, of a function whose positional arguments are settings, NAME=VALUE.

    A setting that is given as a keyword is refused with what to write in its place.

    Args:
        base: returns the frozen dataclass whose settings they are.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        function.__dict__["settings_base"] = base
        return function

    return decorated


def _no_such_argument(
    function: Callable[..., Any], signature: inspect.Signature, given: Mapping[str, Any]
) -> ArgumentError | None:
    """The error for the first keyword in `given` that `function` does not have; None where it has them all."""
    known = [name for name, each in signature.parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY]
    positional = [name for name, each in signature.parameters.items() if name not in known]
    name = next((name for name in given if name not in signature.parameters), None)
    if name is None:
        return None
    from resnets.core.config import settings_called

    if name in _USUAL_NAMES and _USUAL_NAMES[name] in known:
        return ArgumentError(
            f"No argument of {function.__name__} is called {name!r}: did you mean {_USUAL_NAMES[name]}?"
        )
    title, base = function.__name__, function.__dict__.get("settings_base")
    if base is not None and (meant := settings_called(base(), name, str(given[name]))):
        return ArgumentError(f"{title} has no argument {name!r}: did you mean the setting {meant!r}, as a text?")
    if base is not None and name in field_types(cast(Any, type(base()))):
        return ArgumentError(f'{title} has no argument {name!r}: give the setting as a text, "{name}={given[name]}".')
    return ArgumentError(str(unknown(f"argument of {title}", name, [*positional, *known])))


def parser_of(function: Callable[..., Any], prog: str, *, skip: tuple[str, ...] = ()) -> Parser:
    """Returns the parser of a command that calls `function`.

    Args:
        skip: parameters that can be given in Python only.
    """
    summary, helps = read_docstring(inspect.getdoc(function) or "")
    parser = Parser(prog=prog, description=summary, allow_abbrev=False)
    old: dict[str, str] = getattr(function, "renamed_arguments", {})  # by `core.renamed.renamed_arguments`
    parser.settings_base = function.__dict__.get("settings_base")
    parser.renamed = {_flag(name): _flag(new) for name, new in old.items() if new not in skip}
    hints = type_hints(function, unloaded=object)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in skip:
            _add_parameter(parser, parameter, hints[parameter.name], helps.get(parameter.name, ""))
    return parser


def arguments(function: Callable[..., Any], parsed: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    """Returns the positional and the keyword arguments for `function` in what its parser returned."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if not hasattr(parsed, parameter.name):
            continue
        value = getattr(parsed, parameter.name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            named[parameter.name] = value
    return positional, named


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Returns the first paragraph of a docstring, and the text of each entry under "Args:" by name."""
    summary = " ".join(text.split("\n\n")[0].split())
    section = re.search(r"\nArgs:\n((?:    .*\n?|\n)*)", text)
    helps: dict[str, str] = {}
    if section:
        for match in re.finditer(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE):
            for name in match[1].split(","):
                helps[name.strip()] = " ".join(match[2].split())
    return summary, helps


def type_hints(function: Callable[..., Any], *, unloaded: Any) -> dict[str, Any]:
    """The types of the parameters of `function`, whose module postpones its annotations (PEP 563).

    Args:
        unloaded: stands for each type that the module imports for type checkers alone, or from a `LazyModule`, so that
            a command line is read without torch.
    """
    plain = inspect.unwrap(function)
    texts = [text for text in plain.__annotations__.values() if isinstance(text, str)]
    names = {name for text in texts for name in compile(text, "<annotation>", "eval").co_names}
    missing = names - plain.__globals__.keys() - vars(builtins).keys()
    lazy = {name for name in names if isinstance(plain.__globals__.get(name), LazyModule)}
    stand_ins = dict.fromkeys(missing, unloaded) | dict.fromkeys(lazy, _Unloaded(unloaded))
    return typing.get_type_hints(function, localns=stand_ins)


class _Unloaded:
    """Stands for a module all of whose names are `kind`."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        return self._kind


def _add_parameter(parser: Parser, parameter: inspect.Parameter, declared: Any, text: str) -> None:
    text = text.replace("%", "%%")
    if parameter.kind is parameter.VAR_POSITIONAL:
        parser.add_argument(parameter.name, nargs="*", metavar=parameter.name.upper(), help=text)
        return
    required = parameter.default is parameter.empty
    if parameter.kind is parameter.POSITIONAL_ONLY:
        options: dict[str, Any] = {} if required else {"nargs": "?", "default": parameter.default}
        parser.add_argument(parameter.name, metavar=parameter.name.upper(), help=text, **options)
        return
    flag = _flag(parameter.name)
    kind, choices = _flag_type(declared)
    if kind is bool:
        parser.add_argument(flag, action="store_true", help=text)
        return
    if not required and parameter.default is not None and "(default:" not in text:
        text = f"{text.rstrip('.')} (default: {parameter.default})."
    if kind is tuple:
        parser.add_argument(flag, action="append", default=[], metavar=parameter.name.upper(), help=text)
        return
    metavar = None if choices else {int: "N", float: "X"}.get(kind, parameter.name.upper())
    parser.add_argument(
        flag, type=kind, choices=choices, default=parameter.default, required=required, metavar=metavar, help=text
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _flag_type(declared: Any) -> tuple[type, list[str] | None]:
    """Returns the type that the text of a flag is parsed as, and its choices."""
    members = [declared]
    if typing.get_origin(declared) in (Union, types.UnionType):
        members = [m for m in typing.get_args(declared) if m is not type(None)]
    if len(members) == 1 and typing.get_origin(members[0]) is Literal:
        return str, list(typing.get_args(members[0]))
    if any(typing.get_args(member) == (str, ...) for member in members):  # of texts, each with the flag before it
        return tuple, None
    if str in members:  # the function parses the text
        return str, None
    for kind in (bool, float, int):
        if kind in members:
            return kind, None
    return (Path if Path in members else str), None
