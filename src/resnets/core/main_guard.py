"""Scripts that start processes must have a main guard: each process imports the script again."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from types import FrameType
from typing import Any

from resnets.core.errors import UsageError

_ADVICE = (
    "Each process that it starts imports your script again, and would start it once more. Put the call under\n"
    '    if __name__ == "__main__":\n'
    "or give jobs=1, which starts no process."
)


def check_main_guard(name: str) -> None:
    """Checks that the running script, if there is one, can be imported again by processes that it starts.

    Args:
        name: of what starts them, for the message.

    Raises:
        UsageError: the call stands in the script outside of `if __name__ == "__main__":`, or the script is being
            imported by such a process.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(f"{name} was called while a process that it started imported your script. {_ADVICE}")
    main = sys.modules.get("__main__")
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if path is None or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):  # not imported again
        return
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals is vars(main)):
        frame = frame.f_back
    if frame is None:  # in another thread
        return
    try:
        with open(path, "rb") as file:
            nodes = list(ast.walk(ast.parse(file.read())))
    except (OSError, SyntaxError, ValueError):
        return
    if not any(_asks_for_name(each) and _reaches(each, frame.f_lineno) for each in nodes):
        raise UsageError(f"{path}, line {frame.f_lineno}: {name} starts processes. {_ADVICE}")


def _asks_for_name(node: ast.AST) -> bool:
    """Whether what the node does depends on `__name__`, or it keeps the answer for later."""
    question: ast.AST | None = None
    if isinstance(node, ast.If | ast.IfExp):
        question = node.test
    elif isinstance(node, ast.Match):
        question = node.subject
    elif isinstance(node, ast.BoolOp) or _keeps_answer(node):
        question = node
    return question is not None and any(_is_name(each) for each in ast.walk(question))


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "__name__"


def _keeps_answer(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Compare)


def _reaches(node: Any, line: int) -> bool:
    """Whether the node holds the line, or comes before it and may have ended a process, as `!=` does, or has the answer
    that a later one asks for."""
    negated = isinstance(node, ast.If) and any(isinstance(each, ast.NotEq) for each in ast.walk(node.test))
    if negated or isinstance(node, ast.Assign):
        return bool(node.lineno <= line)
    return bool(node.lineno <= line <= (node.end_lineno or node.lineno))
