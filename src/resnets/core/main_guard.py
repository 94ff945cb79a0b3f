"""Scripts that start processes must have a main guard: each process imports the script again."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from types import FrameType

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
            statements = ast.parse(file.read()).body
    except (OSError, SyntaxError, ValueError):
        return
    if not any(_asks_for_name(each) and _reaches(each, frame.f_lineno) for each in statements):
        raise UsageError(f"{path}, line {frame.f_lineno}: {name} starts processes. {_ADVICE}")


def _asks_for_name(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _reaches(statement: ast.stmt, line: int) -> bool:
    """Whether the statement holds the line, or may have ended a process before it, as `!=` does."""
    if isinstance(statement, ast.If) and any(isinstance(node, ast.NotEq) for node in ast.walk(statement.test)):
        return statement.lineno <= line
    return statement.lineno <= line <= (statement.end_lineno or statement.lineno)
