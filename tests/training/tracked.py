"""What trackers have written of a run, read by their own libraries."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.training.runs import events

Curves = dict[str, list[tuple[int, float]]]  # by name: the step and the value of each point


@dataclass
class Tracked:
    """Metrics, settings and how the run ended, where the tracker knows."""

    curves: Curves
    settings: Mapping[str, Any]
    finished: bool | None = None


def logged(run: Path) -> Curves:
    """The numbers of log.jsonl, under the names that trackers give them."""
    found: Curves = {}
    for event in events(run):
        if event["event"] in ("step", "evaluation"):
            split = "train" if event["event"] == "step" else event["split"]
            for name, value in event.items():
                if type(value) in (int, float) and name != "step":
                    found.setdefault(f"{split}/{name}", []).append((event["step"], value))
    return found


def without_speed(curves: Curves) -> Curves:
    return {name: curve for name, curve in curves.items() if name != "train/images_per_second"}


def read_tensorboard(run: Path) -> Tracked:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    curves = {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    text = found.Tensors("recipe/text_summary")[-1]
    return Tracked(curves, json.loads(text.tensor_proto.string_val[0]))


def read_mlflow(run: Path) -> Tracked:
    import mlflow

    uri = None if mlflow.is_tracking_uri_set() else f"sqlite:///{run / 'mlflow' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    own = client.get_run(json.loads((run / "trackers.json").read_text())["mlflow"])
    of_that_name = client.search_runs([own.info.experiment_id], f"attributes.run_name = '{run.parent.name}/{run.name}'")
    assert len(of_that_name) == 1
    assert client.get_experiment(own.info.experiment_id).name == "resnets"
    curves = {
        name: [(each.step, each.value) for each in client.get_metric_history(own.info.run_id, name)]
        for name in own.data.metrics
    }
    settings: dict[str, Any] = {}
    for name, text in own.data.params.items():
        *outer, last = name.split(".")
        place = settings
        for each in outer:
            place = place.setdefault(each, {})
        try:
            place[last] = json.loads(text)
        except ValueError:
            place[last] = text
    return Tracked(curves, settings, {"FINISHED": True, "KILLED": False}.get(own.info.status))


def read_wandb(run: Path) -> Tracked:
    """The newest of the run's offline files."""
    known = json.loads((run / "trackers.json").read_text())["wandb"]
    files = sorted((run / "wandb").glob(f"offline-run-*-{known}/run-{known}.wandb"))  # by time
    found = Tracked({}, {})
    for record in _records(files[-1].read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            assert (record.run.run_id, record.run.project) == (known, "resnets")
            assert record.run.display_name == f"{run.parent.name}/{run.name}"
            found.settings = {
                each.key: json.loads(each.value_json) for each in record.run.config.update if each.key != "_wandb"
            }
        elif kind == "history":
            row = {each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in record.history.item}
            for name in row.keys() - {"_step", "_timestamp", "_runtime"}:
                found.curves.setdefault(name, []).append((row["_step"], row[name]))
        elif kind == "exit":
            found.finished = record.exit.exit_code == 0
    return found


def _records(content: bytes) -> Iterator[Any]:
    """The records of a .wandb file: a header of 7 bytes, then the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    assert content[:4] == b":W&B"
    place, text = 7, b""
    while place < len(content):
        if (left := 2**15 - place % 2**15) < 7:  # what no header of a part fits into
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        text += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(text)
            text = b""


READERS: Mapping[str, Callable[[Path], Tracked]] = {
    "tensorboard": read_tensorboard,
    "mlflow": read_mlflow,
    "wandb": read_wandb,
}
