"""timm's own tests of networks on every classifier of the catalog, from a checkout of timm that is not copied.

    RESNETS_TIMM_CHECKOUT=CHECKOUT scripts/test --slow tests/tools/timm_models

Of `tests/test_models.py` there: forward, backward, settings (`forward_features`, `forward_head`, `reset_classifier`),
feature maps, intermediates, TorchScript and FX, forward, backward and scripted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.timm_models.names import NAMES

ROOT = Path(__file__).parents[3]
CHECKOUT = os.environ.get("RESNETS_TIMM_CHECKOUT", "")

# What fails, by network, and why.
REFUSED = {
    "cifar_fast": {
        "test_model_backward": "the filters of its whitened stem are computed from images and not learnt",
        "test_model_backward_fx": "the same",
    },
}


@pytest.mark.slow
@pytest.mark.skipif(not CHECKOUT, reason="RESNETS_TIMM_CHECKOUT names no checkout of timm")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_timms_tests_pass(name: str) -> None:
    tests = Path(CHECKOUT) / "tests" / "test_models.py"
    options = ["-q", "-rf", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore", "--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "tests.tools.timm_models.plugin", "-c", os.devnull,
         "--rootdir", CHECKOUT, str(tests)],
        cwd=ROOT, env={**os.environ, "RESNETS_TIMM_NAMES": name}, capture_output=True, text=True,
    )  # fmt: skip
    failed = set(re.findall(r"^FAILED .*::(\w+)\[", done.stdout, re.MULTILINE))
    assert re.search(r"\d+ passed", done.stdout), done.stdout[-3000:] + done.stderr[-1000:]
    assert failed == REFUSED.get(name, {}).keys(), done.stdout[-6000:]
