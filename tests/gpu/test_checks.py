"""The checks of an accelerator, on CUDA where there is a device, and on the CPU, which is compared with itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.gpu.checks import CHECKS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", CHECKS)
def test_on_cuda(name: str, tmp_path: Path) -> None:
    CHECKS[name]("cuda", tmp_path)


SLOW = ("resumes_bit_for_bit", "keeps_within_memory", "trains_evaluates_predicts")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CHECKS])
def test_they_run_on_the_cpu(name: str, tmp_path: Path) -> None:
    CHECKS[name]("cpu", tmp_path)
