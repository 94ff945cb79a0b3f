"""The command line: finds the command, calls it, prints its answer, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from resnets.commands.command import Answer, Command, Invocation
from resnets.core.clock import count_from_process_start
from resnets.core.console import own_progress, quiet, say, tolerate_any_text
from resnets.core.errors import ResnetsError, unknown
from resnets.core.files import to_json
from resnets.core.signatures import Parser, parser_of
from resnets.version import __version__

# Each is a module of `resnets.commands`, imported when it is used, and the first line of its function's docstring: the
# overview needs no other module.
COMMANDS = {
    "train": "Train a network; without arguments, a small one on scikit-learn's digits.",
    "resume": "Continue an interrupted run, bit for bit, or train a finished one longer.",
    "check": "Find what is wrong with a dataset, by path, before it costs a run.",
    "replay": "Repeat one step of a run and find the first value that is not finite.",
    "evaluate": "Evaluate a model on a split of a dataset: every sample once, in float32.",
    "compare": "Compare models on the same samples: the differences, with paired intervals.",
    "predict": "Predict what is in images or recordings of any size.",
    "embed": "Give the features of images or recordings, for search, clustering or another classifier.",
    "explain": "Show where in images a classifier sees a class (Grad-CAM).",
    "similar": "Find the images of a dataset that are most like others.",
    "describe": "Show layers, shapes, parameters and multiply-adds of a model, and the memory of a training step.",
    "benchmark": "Measure the speed of a model on this machine: training, inference, data loading.",
    "reproduce": "Run an experiment and compare its results with the published ones.",
    "experiments": "List the experiments that `resnets reproduce` knows by name.",
    "models": "List the networks that are known by name.",
    "recipes": "List the recipes that are known by name.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for a failed run, 2 for wrong use, 130 where interrupted."""
    tolerate_any_text()
    if argv is None:
        count_from_process_start()
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    try:
        invocation, command = _parse([a for a in argv if a != "--debug"])
        given = invocation.arguments
        with own_progress(), quiet() if given.quiet else contextlib.nullcontext():
            answer = command.answer(invocation)
        code = _print(answer, json=given.json, quiet=given.quiet)
        return 1 if answer.failed else code
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except (ResnetsError, KeyboardInterrupt, MemoryError, RuntimeError, OSError) as error:
        code, message = _explain(error)
        if debug:
            _print_error(traceback.format_exc())
        _print_error(f"resnets: {message}")
        return code
    finally:
        _flush()


def find_command(name: str) -> Command:
    """Returns the command called `name`.

    Raises:
        UsageError: if there is none; the message names the nearest.
    """
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    command: Command = importlib.import_module(f"resnets.commands.{name}").COMMAND
    return command


def _parse(argv: list[str]) -> tuple[Invocation, Command]:
    if not argv or argv[0].startswith("-"):
        parser = Parser(prog="resnets", description=_overview(), formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--version", action="version", version=f"resnets {__version__}")
        parser.read(argv)
        parser.error("a command is missing")
    name, *rest = argv
    command = find_command(name)
    own = parser_of(command.function, f"resnets {name}", skip=command.python_only)
    own.add_argument("--json", action="store_true", help="print one JSON object and nothing else to standard output")
    own.add_argument("--quiet", action="store_true", help="print the answer and errors only: no progress, no notes")
    own.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return Invocation(command.function, own.read(rest)), command


def _overview() -> str:
    rows = [f"  {name:11} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        ["Residual networks: train, evaluate, understand and ship them.", "", "commands:", *rows, "",
         "See resnets COMMAND --help for the arguments of a command."]
    )  # fmt: skip


def _print(answer: Answer, *, json: bool, quiet: bool) -> int:
    """Prints the answer of a command; returns the exit code."""
    notes = [] if quiet else [f"Note: {note}" for note in answer.notes]
    try:
        say(*notes, stream=sys.stderr if json else sys.stdout)
        if answer.data is not None:
            say(*([to_json(answer.data)] if json else answer.lines))
    except BrokenPipeError:
        raise
    except OSError as error:  # what the command did is done; a full disk took no more of what it says
        _print_error(f"resnets: Cannot write to standard output: {(error.strerror or str(error)).lower()}.")
        return 1
    return 0


def _print_error(message: str) -> None:
    with contextlib.suppress(OSError):  # of a terminal that is closed
        say(message, stream=sys.stderr)


def _flush() -> None:
    """Flushes standard output, and discards what it does not take, so that Python does not fail at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: BaseException) -> tuple[int, str]:
    """Returns exit code and message; raises `error` if it is a fault of the program."""
    if isinstance(error, ResnetsError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT, "Stopped."
    if isinstance(error, OSError):
        return 1, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."
    if isinstance(error, MemoryError) or ("torch" in sys.modules and _is_out_of_memory(error)):
        return 1, "Out of memory. Use a smaller batch."
    raise error


def _is_out_of_memory(error: BaseException) -> bool:
    from resnets.training.memory import is_out_of_memory

    return is_out_of_memory(error)
