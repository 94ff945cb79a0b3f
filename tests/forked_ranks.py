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
_CONTEXT.set_forkserver_preload(["torch._dynamo", "scipy.optimize", "resnets.training.fit", "resnets.commands.train"])


def on_ranks(count: int, function: Callable[..., int | None], *arguments: object, **env: str) -> tuple[int, str, str]:
    """The exit code, output and errors of `function(*arguments)` on so many ranks: the first code that is not 0."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
        group |= {"LOCAL_WORLD_SIZE": str(count)}
        free.close()
        ranks = [
            _CONTEXT.Process(
                target=_rank,
                args=(folder, {**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank), **env}, os.getcwd()),
                kwargs={"function": function, "arguments": arguments},
            )
            for rank in range(count)
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
