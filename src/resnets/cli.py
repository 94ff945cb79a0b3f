"""The command line: each command is a public function of `resnets`, its flags the function's signature."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnets.commands import api
from resnets.core.console import printable, say, tolerate_any_text
from resnets.core.errors import DataError, PredictionError, ResnetsError, lookup
from resnets.core.files import to_json
from resnets.core.signatures import Parser, arguments, parser_of, read_docstring
from resnets.core.units import show_bytes, show_count
from resnets.version import __version__

if TYPE_CHECKING:
    from resnets.artifacts.model import Ranking

# Lines for a person, and what --json prints; where that has inputs that "failed", the exit code is 1.
Answer = tuple[list[str], Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for a failed run, 2 for wrong use, 130 where interrupted."""
    tolerate_any_text()
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    try:
        parsed, answer = _read([a for a in argv if a != "--debug"])
        lines, data = answer(parsed)
        if not lines and data is None:
            return 0
        code = _print([to_json(data)] if parsed.json else lines)
        return 1 if isinstance(data, dict) and data.get("failed") else code
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except (ResnetsError, KeyboardInterrupt, MemoryError, RuntimeError, OSError) as error:
        code, message = _explain(error)
        if debug:
            _complain(traceback.format_exc())
        _complain(f"resnets: {message}")
        return code
    finally:
        _settle()


def _print(lines: Sequence[str]) -> int:
    """Prints the answer of a command; returns the exit code."""
    try:
        say(*lines)
    except BrokenPipeError:
        raise
    except OSError as error:  # what the command did is done; a full disk took no more of what it says
        _complain(f"resnets: Cannot write to standard output: {(error.strerror or str(error)).lower()}.")
        return 1
    return 0


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):  # of a terminal that is closed
        say(message, stream=sys.stderr)


def _settle() -> None:
    """Lets go of what standard output did not take, so that Python does not fail at it once more when it exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit code and message; raises `error` where it is a fault of the program."""
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


def _read(argv: list[str]) -> tuple[argparse.Namespace, Callable[[argparse.Namespace], Answer]]:
    """What the command line asks for, and the function that answers it."""
    parser = Parser(prog="resnets", description=_overview(), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"resnets {__version__}")
    if not argv or argv[0].startswith("-"):
        parser.read(argv)
        parser.error("a command is missing")
    name, *rest = argv
    answer, function, skip = lookup(_COMMANDS, name, "command")
    command = parser_of(function, f"resnets {name}", skip=skip)
    command.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parsed = command.read(rest)
    parsed.command = name
    return parsed, answer


def _overview() -> str:
    rows = [
        f"  {name:11} {read_docstring(inspect.getdoc(function) or '')[0]}"
        for name, (_, function, _) in _COMMANDS.items()
    ]
    return "\n".join(
        ["Residual networks: trained, evaluated, understood and shipped.", "", "commands:", *rows, "",
         "resnets COMMAND --help says more."]
    )  # fmt: skip


def _call(function: Callable[..., Any], parsed: argparse.Namespace, **more: Any) -> Any:
    positional, named = arguments(function, parsed)
    return function(*positional, **named, **more)


def _train(parsed: argparse.Namespace) -> Answer:
    from resnets.training.distributed import is_main
    from resnets.training.progress import watch

    function: Callable[..., Any] = api.train if parsed.command == "train" else api.resume
    if not is_main():  # of several ranks, one talks
        _call(function, parsed)
        return [], None
    with watch(sys.stderr if parsed.json else sys.stdout) as subscriber:
        run: api.Run = _call(function, parsed, subscribers=(subscriber,))
    lines = ["This run had ended; there is nothing left to do."] if run.was_finished else []
    split = run.metrics.get("split")  # version 0.1.0 does not say
    lines += [
        f"{'accuracy' if split is None else f'{split} accuracy'} {run.metrics['accuracy']:.2%} "
        f"of {show_count(run.metrics['samples'], 'image')}",
        f"model   {run.model}",
        f"report  {run.report}",
    ]
    return lines, {"folder": str(run.folder), "model": str(run.model), "report": str(run.report), **run.metrics}


def _replay(parsed: argparse.Namespace) -> Answer:
    found = _call(api.replay, parsed)
    lines = _notes(parsed, found.notes)
    lines += [f"step {found.step}: loss {found.loss:.6g}, gradient norm {found.gradient_norm:.6g}"]
    if found.layer:
        lines.append(f"not finite first in the {found.during} pass of {found.layer}")
    lines += [f"  {printable(name)}{'  (to blame)' if i < found.blamed else ''}" for i, name in enumerate(found.images)]
    return lines, dataclasses.asdict(found)


def _evaluate(parsed: argparse.Namespace) -> Answer:
    from resnets.training.distributed import is_main

    scores = _call(api.evaluate, parsed)
    if not is_main():
        return [], None
    metrics = scores.summary()
    lines = _notes(parsed, scores.notes)
    lines += [f"{metrics['split']} {name:8} {metrics[name]:.6g}" for name in ("accuracy", "top5", "loss")]
    width = len(f"{metrics['split']} accuracy")
    lines += [f"{name:{width}} {metrics[name]:.6g}" for name in ("samples", "excluded")]
    lines += [f"  unread: {printable(reason)}" for reason in list(scores.excluded.values())[:10]]
    width = max(map(len, metrics["classes"]))
    lines.append(f"{'class':{width}}  precision  recall      f1  images")
    lines += [
        f"{printable(name):{width}}  {c['precision']:9.2%} {c['recall']:7.2%} {c['f1']:7.2%} {c['support']:9,}"
        for name, c in metrics["classes"].items()
    ]
    return lines, metrics


def _notes(parsed: argparse.Namespace, notes: Sequence[str]) -> list[str]:
    """A line for each note; where JSON is printed, they go to standard error."""
    lines = [f"Note: {note}" for note in notes]
    if parsed.json:
        say(*lines, stream=sys.stderr)
        return []
    return lines


def _predict(parsed: argparse.Namespace) -> Answer:
    failed: Mapping[int, DataError] = {}
    rankings: Sequence[Ranking | None]
    try:
        rankings = _call(api.predict, parsed)
    except PredictionError as error:
        rankings, failed = error.predictions, error.failed
        if not parsed.json:
            say(*(f"resnets: {reason}" for reason in failed.values()), stream=sys.stderr)
    lines = []
    predictions = []
    for image, ranking in zip(parsed.images, rankings, strict=True):
        if ranking is not None:
            lines += [printable(image), *(f"  {probability:7.2%}  {printable(name)}" for name, probability in ranking)]
            classes = [{"name": name, "probability": probability} for name, probability in ranking]
            predictions.append({"input": image, "image": image, "classes": classes})  # "image" is the older name
    return lines, {
        "model": parsed.model,
        "task": "classification",
        "runtime": parsed.runtime,
        "predictions": predictions,
        "failed": [{"input": parsed.images[number], "error": str(reason)} for number, reason in failed.items()],
    }


def _describe(parsed: argparse.Namespace) -> Answer:
    found: api.Description = _call(api.describe, parsed)
    lines = [f"{'layer':26} {'kind':26} {'output':>16} {'parameters':>12} {'multiply-adds':>15}"]
    lines += [
        f"{layer.name:26} {layer.kind:26} {' x '.join(map(str, layer.shape)):>16} "
        f"{layer.parameters:12,} {layer.multiply_adds:15,}"
        for layer in found.layers
    ]
    lines.append(f"{'all':26} {f'at {found.size} px':26} {'':>16} {found.parameters:12,} {found.multiply_adds:15,}")
    if found.memory is not None:
        lines += [
            f"{name:10} {show_bytes(taken):>12}" for name, taken in vars(found.memory).items() if name != "program"
        ]
        twice = sum(map(sum, found.recomputed.values()))
        lines.append(
            f"{'peak':10} {show_bytes(found.memory.peak):>12}  and what the program takes; "
            f"{show_count(twice, 'block')} twice"
        )
    if found.classes:
        lines.append(
            f"classes  {', '.join(map(printable, found.classes[:20]))}{' ...' if len(found.classes) > 20 else ''}"
        )
    if found.weights_sha256:
        lines.append(f"weights  sha256 {found.weights_sha256}")
    data = dataclasses.asdict(found) | (found.card or {})
    del data["card"]
    if found.memory is not None:
        data["peak_memory_bytes"] = found.memory.peak
    return lines, {"stage_channels": found.spec.stage_channels, "stage_strides": found.spec.stage_strides, **data}


def _models(parsed: argparse.Namespace) -> Answer:
    from resnets.models import counts

    rows = []
    for name, spec in api.list_models().items():
        rows.append({"name": name, "parameters": counts.parameters(spec), "size": spec.usual_size,
                     "multiply_adds": counts.multiply_adds(spec, spec.usual_size)})  # fmt: skip
    lines = [f"{'model':20} {'parameters':>12} {'multiply-adds':>16}"]
    lines += [f"{r['name']:20} {r['parameters']:12,} {r['multiply_adds']:16,}  at {r['size']} px" for r in rows]
    return lines, {"models": rows}


def _recipes(parsed: argparse.Namespace) -> Answer:
    from resnets.core.config import encode
    from resnets.recipes.catalog import RECIPES

    docs = {name: inspect.getdoc(make) or "" for name, make in RECIPES.items()}
    lines = [line for name, text in docs.items() for line in (name, *(f"  {t}" for t in text.splitlines()), "")]
    rows = [
        {"name": name, "recipe": encode(recipe), "about": docs[name]} for name, recipe in api.list_recipes().items()
    ]
    return lines[:-1], {"recipes": rows}


def _benchmark(parsed: argparse.Namespace) -> Answer:
    found = _call(api.benchmark, parsed)
    training = found["training"]
    lines = [
        f"training   {training['images_per_second']:10.1f} images/s at batch {training['batch']}, {found['size']} px",
        f"memory     {show_bytes(found['peak_memory_bytes'])} at the peak, "
        f"{show_bytes(found['predicted_peak_memory_bytes'])} predicted; "
        f"{show_count(sum(map(sum, training['recomputed'].values())), 'block')} computed twice",
    ]
    if inference := found.get("inference"):
        lines.append(
            f"inference  {inference['images_per_second']:10.1f} images/s, {inference['milliseconds_median']:.1f} ms a "
            f"batch (95%: {inference['milliseconds_95']:.1f} ms), {inference['runtime']}, {inference['precision']}"
        )
        if inference["share_of_ceiling"]:
            lines[-1] += f", {inference['share_of_ceiling']:.0%} of a matrix product's rate"
    if loading := found.get("loading"):
        lines.append(
            f"loading    {loading['images_per_second']:10.1f} images/s by {show_count(loading['workers'], 'worker')} "
            f"({loading['images']} {loading['data']})"
        )
        lines += _notes(parsed, loading["notes"])
    where = training["environment"]
    lines.append(
        f"on {where['device']} ({where['hardware']}), training in {where['precision']}, {where['layout']}, eager"
    )
    return lines, found


def _reproduce(parsed: argparse.Namespace) -> Answer:
    stream = sys.stderr if parsed.json else sys.stdout

    def log(line: str) -> None:
        with contextlib.suppress(OSError):  # whether it is seen is nothing to the runs
            say(line, stream=stream)

    found = _call(api.reproduce, parsed, log=log)
    widths = [max(map(len, column)) for column in zip(*found.table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in found.table]
    return [*lines, f"page    {found.folder / 'index.html'}"], found.results


def _experiments(parsed: argparse.Namespace) -> Answer:
    rows = api.list_experiments()
    return [f"{name:20} {title}" for name, title in rows.items()], {"experiments": rows}


# Of each command: what answers it, the function whose signature its flags are, and what of that only Python can give.
_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], Answer], Callable[..., Any], tuple[str, ...]]] = {
    "train": (_train, api.train, ("subscribers",)),
    "resume": (_train, api.resume, ("subscribers",)),
    "replay": (_replay, api.replay, ()),
    "evaluate": (_evaluate, api.evaluate, ()),
    "predict": (_predict, api.predict, ()),
    "describe": (_describe, api.describe, ()),
    "benchmark": (_benchmark, api.benchmark, ()),
    "reproduce": (_reproduce, api.reproduce, ("log",)),
    "experiments": (_experiments, api.list_experiments, ()),
    "models": (_models, api.list_models, ()),
    "recipes": (_recipes, api.list_recipes, ()),
}
