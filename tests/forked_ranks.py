"""Ranks of tests, forked from a process that has imported what they need: importing it takes longer than most of them.

As torchrun does, it gives each its number by the environment; unlike it, it waits for all, whatever one of them does.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = ["torch._dynamo", "scipy.optimize", "resnets.commands.train", "resnets.training.runner"]
_CONTEXT.set_forkserver_preload(_PRELOADED)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def on_ranks(count: int, function: Callable[..., int | None], *arguments: object, **env: str) -> tuple[int, str, str]:
    """The exit code, output and errors of `function(*arguments)` on so many ranks: the first code that is not 0.

    One rank is a process that knows nothing of ranks.
    """
    places = [{}] if count == 1 else _places(count)
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            _CONTEXT.Process(
                target=_rank, args=(folder, {**os.environ, **place, **env}, os.getcwd(), function, arguments)
            )
            for place in places
        ]
        for rank in ranks:
            rank.start()
        end = time.monotonic() + 240
        try:
            for rank in ranks:
                rank.join(max(0, end - time.monotonic()))
            codes = [rank.exitcode for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
    assert None not in codes, f"hangs:\n{out}\n{err}"
    return next((code for code in codes if code), 0), out, err


def _places(count: int) -> list[dict[str, str]]:
    """What tells each of so many ranks its place, as torchrun does."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    group |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [{**group, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def _rank(
    folder: str, env: Mapping[str, str], cwd: str, function: Callable[..., int | None], arguments: tuple[object, ...]
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        stream.flush()
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
    torch.set_num_threads(1)
    sys.exit(function(*arguments))
