"""What must hold on an accelerator as on the CPU, without pytest: `benchmarks/gpu.py` and the tests call these.

Each check takes a device and an empty folder, returns figures worth recording, and raises AssertionError where it
fails. On the CPU, which is then compared with itself, they show that the checks run. Only the dependencies of resnets
may be imported here and in the modules of the checks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.gpu.inputs import Figures
from tests.gpu.numbers import batches, cuda_graph_steps, logits_and_gradients, precisions
from tests.gpu.waiting import batches_do_not_wait, steps_do_not_wait
from tests.gpu.whole_runs import keeps_within_memory, resumes_bit_for_bit, trains_evaluates_predicts, trains_on_files

CHECKS: dict[str, Callable[[str, Path], Figures]] = {
    check.__name__: check
    for check in (
        trains_evaluates_predicts,
        logits_and_gradients,
        cuda_graph_steps,
        steps_do_not_wait,
        batches_do_not_wait,
        resumes_bit_for_bit,
        keeps_within_memory,
        batches,
        precisions,
        trains_on_files,
    )
}
