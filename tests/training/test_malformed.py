"""Files of a run that were changed by accident or by malice give our error, or what they held, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnets.core.errors import ResnetsError
from resnets.recipes.catalog import find
from resnets.training import checkpoint, environment
from resnets.training.checkpoint_writer import Writer
from resnets.training.plan import CheckpointPolicy, Plan, read_plan, write_plan
from resnets.training.run_log import Log, read_log

# Where to change, what to do there, and with what.
MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(["replace", "insert", "cut", "swap"]), st.binary(max_size=12)
    ),
    min_size=1,
    max_size=6,
)
JSON_BITS = st.sampled_from([b"null", b"-1", b"1e999", b"[]", b"{}", b'"x"', b"true", b"NaN", b"[[[[", b"9" * 400])
EXAMPLES = {"fast": 60, "slow": 2000}


def mutate(content: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    for where, how, what in changes:
        place = int(where * len(content))
        if how == "replace":
            content = content[:place] + what + content[place + len(what) :]
        elif how == "insert":
            content = content[:place] + what + content[place:]
        elif how == "cut":
            content = content[:place]
        else:  # a JSON value in place of the one behind the next colon
            colon = content.find(b":", place)
            comma = content.find(b",", colon)
            if 0 <= colon < comma:
                content = content[: colon + 1] + what + content[comma:]
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small plan, log and checkpoint, and a place for their changed copies."""
    root = tmp_path_factory.mktemp("run")
    plan = Plan(
        recipe=find("paper/cifar"),
        environment=environment.choose("cpu"),
        checkpoints=CheckpointPolicy(),
        workers=0,
        data_sha256="0",
    )
    write_plan(root / "recipe.json", plan)
    log = Log(root / "log.jsonl")
    log({"event": "start", "steps": 3, "epochs": 1.5, "notes": ["a note"], "environment": {}})
    log({"event": "step", "step": 1, "epoch": 0.5, "loss": 0.5})
    log({"event": "evaluation", "step": 1, "epoch": 0.5, "loss": 0.5, "accuracy": 0.5})
    log({"event": "end", "seconds": 1.5, "skipped": 0})
    log.close()
    writer = Writer(root, keep=1)
    memory = checkpoint.TrainState(step=7, log_bytes=9, seconds=1.5, recipe_sha256=plan.sha256)
    writer.write({"network.weight": torch.arange(6.0).reshape(2, 3), "losses": torch.zeros(2)}, memory)
    writer.wait()
    return root


def read_checkpoint(place: Path) -> object:
    found = checkpoint.read(place, 7)
    return sorted(found.tensors.items()), found.state


READERS: dict[str, Callable[[Path], object]] = {
    "recipe.json": lambda place: read_plan(place / "recipe.json"),
    "log.jsonl": lambda place: read_log(place / "log.jsonl"),
    "step-000000007.json": read_checkpoint,
    "step-000000007.safetensors": read_checkpoint,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("amount", ["fast", pytest.param("slow", marks=pytest.mark.slow)])
def test_a_changed_file_gives_our_error_or_its_content(name: str, amount: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (folder / name).read_bytes()
    before = READERS[name](tmp_path)
    changes = MUTATIONS if name.endswith("safetensors") else MUTATIONS.map(list) | st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.just("swap"), JSON_BITS), min_size=1, max_size=3
    )  # fmt: skip

    @settings(max_examples=EXAMPLES[amount], deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(changes)
    def check(changed: list[tuple[float, str, bytes]]) -> None:
        content = mutate(whole, changed)
        (tmp_path / name).write_bytes(content)
        try:
            found = READERS[name](tmp_path)
        except ResnetsError:
            return
        if name.startswith("step-"):  # under a checksum: what is read is what was written
            assert repr(found) == repr(before)

    check()
