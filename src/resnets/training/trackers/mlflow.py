"""MLflow (the extra `mlflow`)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resnets.core.errors import not_installed
from resnets.core.files import one_at_a_time
from resnets.training.trackers.base import TrackedRun

_MOST_PARAMETERS = 100  # that MLflow takes at once


class MLflowTracker:
    """Writes metrics and parameters into an SQLite database in the folder `mlflow` of the run.

    MLflow's own settings go before: MLFLOW_TRACKING_URI (or `mlflow.set_tracking_uri`) for another store,
    MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID. Where a run goes on, MLflow keeps the metrics that it has, as it
    cannot remove any.
    """

    title = "MLflow"

    def __init__(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        try:
            import mlflow
            import sqlalchemy  # noqa: F401 - for the database: mlflow-skinny has come without it
        except ImportError:
            raise not_installed("--mlflow needs MLflow", "mlflow") from None
        self._mlflow: Any = mlflow
        self._last: dict[str, int] = {}  # the last step of each metric

    def begin(self, run: TrackedRun) -> str:
        own = run.folder / "mlflow"
        if self._mlflow.is_tracking_uri_set():
            uri, artifacts = str(self._mlflow.get_tracking_uri()), None
        else:
            own.mkdir(exist_ok=True)
            uri, artifacts = f"sqlite:///{own / 'mlflow.db'}", (own / "artifacts").as_uri()
        lock = f"resnets-mlflow-{getattr(os, 'getuid', int)()}-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.lock"
        # MLflow makes the tables of a new database at its first use, and two processes that do so at once fail.
        with one_at_a_time(Path(tempfile.gettempdir()) / lock), _without_information():  # on each table
            self._client = self._mlflow.MlflowClient(tracking_uri=uri)
        found = self._found(run.id)
        if found is None:
            self._id = str(self._client.create_run(self._experiment(artifacts), run_name=run.name).info.run_id)
            parameters = [self._mlflow.entities.Param(name, text) for name, text in _flat(run.settings)]
            for first in range(0, len(parameters), _MOST_PARAMETERS):
                self._client.log_batch(self._id, params=parameters[first : first + _MOST_PARAMETERS])
        else:
            self._id = str(run.id)
            self._client.update_run(self._id, status="RUNNING")
            for name in found.data.metrics:
                self._last[name] = max(each.step for each in self._client.get_metric_history(self._id, name))
        return self._id

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        new = [
            self._mlflow.entities.Metric(name, value, now, step)
            for name, value in numbers.items()
            if step > self._last.get(name, -1)
        ]
        if new:
            self._client.log_batch(self._id, metrics=new)

    def end(self, *, finished: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def _found(self, known: str | None) -> Any:
        """The run of the id `known`; None where the store has none."""
        if known is None:
            return None
        try:
            return self._client.get_run(known)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _experiment(self, artifacts: str | None) -> str:
        """The id of the experiment that the run belongs to, which is made where there is none of its name."""
        known = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if known:
            return known
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "resnets")
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=artifacts))
            except self._mlflow.MlflowException:
                found = self._client.get_experiment_by_name(name)  # another run has just made it
                if found is None:
                    raise
        return str(found.experiment_id)


@contextlib.contextmanager
def _without_information() -> Iterator[None]:
    """Context manager in which nothing below a warning is logged; levels alone do not do, as alembic sets its own."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted names, as texts: "optimizer.lr", "0.1"."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)
