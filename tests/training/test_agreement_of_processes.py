"""Two ranks in processes of their own end together, before the first step or saved."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resnets.training import checkpoint
from tests.forked_ranks import free_port
from tests.training.runs import arguments, curve, finish, sha_of

_IN = "import os, sys; os.chdir(sys.argv.pop(1)); from resnets.cli import main; sys.exit(main())"


def two_ranks(*ranks: tuple[Path, list[str]], script: str | None = None) -> list[tuple[int, str, str]]:
    """Two ranks that were started by hand, each in its own folder with its own command line."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = []
    for rank, (folder, argv) in enumerate(ranks):
        program = [_IN, str(folder)] if script is None else [script]
        process = subprocess.Popen(
            [sys.executable, "-c", *program, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        processes.append(process)
    return [finish(process) for process in processes]


@pytest.mark.slow
def test_ranks_that_see_other_images_end_before_the_first_step(data: Path, tmp_path: Path) -> None:
    """One rank could not read an image, and leaves it out."""
    other = shutil.copytree(data, tmp_path / "other" / data.name)
    (other / "train" / "class2" / "000.png").write_bytes(b"")
    out = tmp_path / "r"
    argv = arguments(Path(data.name), out, "damaged=exclude", epochs=1)
    for code, _, err in two_ranks((data.parent, argv), (other.parent, argv)):
        assert code == 2, err
        assert "training data (fingerprint): " in err
    assert not (out / "recipe.json").exists()


@pytest.mark.slow
def test_ranks_of_other_settings_or_without_data_end_at_once(data: Path, tmp_path: Path) -> None:
    found = two_ranks(*((tmp_path, arguments(data, tmp_path / "r", f"seed={seed}", epochs=1)) for seed in (1, 2)))
    assert all(code == 2 and "recipe.seed: 1 on rank 0; 2 on rank 1" in err for code, _, err in found)
    found = two_ranks(
        *((tmp_path, arguments(folder, tmp_path / "r", epochs=1)) for folder in (data, tmp_path / "none"))
    )
    assert all(code == 1 and "There is no dataset or folder" in err for code, _, err in found)
    assert "Rank 1 of 2 cannot begin" in found[0][2]


_STOPPED = """
import signal, sys
from resnets.training.callbacks import CheckpointCallback
from resnets.cli import main
before, count = CheckpointCallback.before_evaluation, 0
def signalled(self):
    global count
    before(self)
    count += 1
    if count == 2 and self.training.ranks.is_main:
        signal.raise_signal(signal.SIGTERM)
CheckpointCallback.before_evaluation = signalled
sys.exit(main())
"""


@pytest.mark.slow
def test_one_rank_that_is_asked_to_stop_in_an_evaluation_stops_all_of_them_saved(data: Path, tmp_path: Path) -> None:
    out, expected = tmp_path / "r", tmp_path / "expected"
    argv = [arguments(data, path, "precision=fp32", "memory_limit=20GiB", epochs=1) for path in (out, expected)]
    for code, _, err in two_ranks(*((tmp_path, argv[0]) for _ in range(2)), script=_STOPPED):
        assert code == 128 + signal.SIGTERM, err
        assert "Step 10 is saved" in err
    assert checkpoint.read(out / "checkpoint", 10).state.evaluation_pending
    assert all(code == 0 for code, _, _ in two_ranks(*((tmp_path, ["resume", str(out)]) for _ in range(2))))
    assert all(code == 0 for code, _, _ in two_ranks(*((tmp_path, argv[1]) for _ in range(2))))
    assert curve(out) == curve(expected)
    assert sha_of(out) == sha_of(expected)
