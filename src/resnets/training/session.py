"""A run from its first or its resumed step to its end: training, its events, its checkpoints and its files."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from dataclasses import replace

from resnets.core.errors import DataError, FileError, ResnetsError, TrainingError
from resnets.core.units import show_count
from resnets.evaluation.scoring import Scores
from resnets.training import agreement, checkpoint, memory
from resnets.training.budget import TimeBudget
from resnets.training.build import build_training, restore
from resnets.training.callbacks import CheckpointCallback, pending_losses
from resnets.training.checkpoint import Saved
from resnets.training.damage import DamageLog
from resnets.training.damage_events import DamageEvents
from resnets.training.distributed import Ranks
from resnets.training.endings import problem_of, shortfall, worse_than_probe
from resnets.training.evaluate import RunEvaluator
from resnets.training.events import Subscriber
from resnets.training.extension import extended_event, phases_of
from resnets.training.loop import run
from resnets.training.model_files import ModelFiles
from resnets.training.plan import Plan, read_plan, write_plan
from resnets.training.prepare import PreparedData
from resnets.training.recorder import EventRecorder, emit_start
from resnets.training.run_folder import RunFolder
from resnets.training.signals import stop_signals


class Session:
    """One start of a run, on every rank.

    Args:
        found: the checkpoint that the run goes on from; None where it begins.
        budget: of time, of a run that has one.

    Raises:
        FileError: the checkpoint, the log or damaged.jsonl is damaged or missing.
    """

    def __init__(
        self,
        plan: Plan,
        data: PreparedData,
        folder: RunFolder,
        ranks: Ranks,
        subscribers: Sequence[Subscriber],
        found: Saved | None = None,
        budget: TimeBudget | None = None,
    ) -> None:
        self.budget = budget
        self.plan = plan
        self.data = data
        self.folder = folder
        self.ranks = ranks
        self.found = found
        self.phase = phases_of(plan, len(data.train))[-1]
        if self.phase.extends and (found is None or found.state.step < self.phase.first_step):
            raise FileError(f"The checkpoints of the extension are gone from {folder.checkpoints}: put a copy back.")
        self.training, self.batches = agreement.together(
            ranks, lambda: build_training(plan, data, ranks, self.phase, restored=found is not None)
        )
        if found:
            agreement.together(ranks, lambda: restore(self.training, found, folder))
        self.damage_log = DamageLog(folder.path)
        agreement.from_rank_0(ranks, lambda: self.damage_log.cut(found.state.step if found else 0))
        self.recorder = EventRecorder(folder.log, subscribers, ranks, found.state.log_bytes if found else 0)
        self.damage = DamageEvents(
            self.damage_log,
            self.recorder,
            data.train,
            total_steps=lambda: self.training.total_steps,
            refuse=plan.recipe.damaged == "refuse",
        )
        self.batches.on_damaged = self.damage.found_in_step
        self.models = ModelFiles(plan, data, folder, self.training, self.recorder)
        agreement.from_rank_0(ranks, lambda: self.models.go_on_after(found.state.step if found else 0))

    def run(self, notes: Sequence[str]) -> Scores:
        """Trains to the end; returns the scores of model.safetensors.

        Args:
            notes: for the person who trains, a line each.

        Raises:
            ResnetsError: the run could not go on; the message says what is saved and how to resume.
        """
        training, found = self.training, self.found
        losses = pending_losses(found.tensors, training) if found else []
        self._emit_start(notes)
        with contextlib.closing(self.recorder), stop_signals() as asked:
            callback = CheckpointCallback(
                training,
                self.plan.checkpoints,
                self.folder.checkpoints,
                monitor=self.plan.monitored,
                recipe_sha256=self.plan.sha256,
                asked=asked,
                log_bytes=self.recorder.log_bytes,
                save_best=self.models.save_best,
                on_scores=self.models.add_to_soup,
                found=found,
                unlogged=losses,
                budget=self.budget,
                emit=self.recorder.emit,
            )
            evaluate = RunEvaluator(
                self.plan,
                self.data,
                training,
                asked=asked,
                on_scores=lambda scores: self.damage.found_in_evaluation(scores, training.steps_done),
                on_stop=callback.stop_evaluation,
            )
            try:
                if prepared := training.prepare(self.batches):
                    self.recorder.emit(prepared)
                scores = run(
                    training, self.batches, evaluate, self.recorder.emit, callback, losses, callback.evaluation_pending
                )
                scores = self.models.save_final(scores, evaluate, has_best=callback.best is not None)
                self._end(callback, scores)
            except ResnetsError as error:
                self._add_advice(error, callback)
                raise
            except (RuntimeError, MemoryError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)  # they hold the step's tensors
                advised = TrainingError(memory.advice(training, self.batches))
                self._add_advice(advised, callback)
                raise advised from error
            finally:
                with contextlib.suppress(ResnetsError):
                    callback.close()
        return replace(scores, damaged=self.damage_log.by_path() | scores.damaged)

    def _emit_start(self, notes: Sequence[str]) -> None:
        found, phase = self.found, self.phase
        lines = [*notes, *(found.notes if found else ())]
        resumed_after = found.state.step if found else None
        emit_start(self.recorder, self.plan, self.data, self.training, lines, resumed_after)
        if phase.extends and resumed_after == phase.first_step:
            self.recorder.emit(extended_event(phase, len(self.data.train)))
        if self.budget is not None and found is None:
            self.recorder.emit(self.budget.event(self.training.length))

    def _end(self, callback: CheckpointCallback, scores: Scores) -> None:
        """Waits for the last checkpoint, emits the end, and keeps every rank until rank 0 has saved everything."""
        callback.close()
        stopped = self.training.length.stopped_after
        if (self.budget is not None or stopped is not None) and self.ranks.is_main:
            recorded = read_plan(self.folder.recipe)
            steps = tuple({*recorded.stopped_after, *(() if stopped is None else (stopped,))})
            lengths = self.training.length.planned if self.budget is not None else recorded.lengths
            write_plan(self.folder.recipe, replace(recorded, lengths=lengths, stopped_after=tuple(sorted(steps))))
        recipe, minutes = self.phase.recipe, self.plan.recipe.minutes if self.budget is not None else None
        worse = worse_than_probe(recipe, self.recorder.history, scores)
        for warning in (shortfall(self.training.length, minutes), worse):
            if warning is not None:
                self.recorder.warn(warning)
        skipped = int(self.training.skipped)
        end = {"event": "end", "seconds": callback.seconds, **callback.cost(), "skipped": skipped}
        if stopped is not None:
            end |= {"step": stopped, "reason": self._why_stopped(callback)}
        problem = problem_of(
            recipe,
            self.recorder.history,
            scores,
            self.data.train.classes,
            steps=self.training.steps_done,
            samples=len(self.data.train),
        )
        if problem is not None:
            end["problem"] = problem
        extensions = len(self.plan.extensions)
        self.recorder.emit({**end, "extensions": extensions} if extensions else end)
        if self.ranks.is_main:
            self.models.go_on_after(-1)
        self.ranks.barrier()  # as long as the disk takes
        self.ranks.gather(None)

    def _why_stopped(self, callback: CheckpointCallback) -> str:
        monitor = self.plan.monitored
        assert monitor is not None
        return f"no better {monitor.name} on val in {show_count(callback.unimproved, 'evaluation')}"

    def _add_advice(self, error: ResnetsError, callback: CheckpointCallback) -> None:
        """Saves what can still be saved, and adds to `error` what is saved and how to resume."""
        if isinstance(error, DataError) and self.ranks.world == 1 and callback.seen == self.training.steps_done:
            with contextlib.suppress(ResnetsError):
                callback.save()
        with contextlib.suppress(ResnetsError):
            callback.close()
        saved: list[int] = []
        with contextlib.suppress(ResnetsError):
            saved = checkpoint.steps(self.folder.checkpoints)
        resume = f"go on with: resnets resume {self.folder.path}"
        advice = f"Step {saved[0]} is saved: {resume}" if saved else "No step is saved yet."
        error.args = (f"{error} {advice}", *error.args[1:])
