"""What version 0.2 called otherwise: the command line names the new name; Python takes the old one with a warning."""

from __future__ import annotations

from typing import Any

import pytest

import resnets
from tests.command_line import call


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "--best", "accuracy"], "--best is now --monitor"),
        (["evaluate", "model", "--views=flip"], "--views is now --tta"),
        (["train", "test_view=flip"], "test_view is now tta: write tta=flip"),
        (["train", "views.augment=[]"], "write augmentations.transforms="),
        (["train", "group=8"], "group is now bn_batch"),
        (["train", "capture=true"], "capture is now cuda_graph"),
        (["train", "exact_statistics=1"], "exact_statistics is now precise_bn"),
    ],
)
def test_old_names_on_the_command_line_are_refused_with_the_new_ones(argv: list[str], message: str) -> None:
    result = call(*argv)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("function", "argument", "old", "new"),
    [
        (resnets.train, "digits", {"best": "nonsense"}, "monitor"),
        (resnets.train, "digits", {"listeners": 1}, "subscribers"),
        (resnets.resume, "nowhere", {"listeners": 1}, "subscribers"),
        (resnets.evaluate, "nowhere", {"views": 1}, "tta"),
        (resnets.reproduce, "nowhere", {"tell": print, "seeds": 0}, "log"),
    ],
)
def test_old_names_work_in_python_with_a_warning(function: Any, argument: str, old: dict[str, Any], new: str) -> None:
    with (
        pytest.warns(DeprecationWarning, match=rf"is now {function.__name__}\({new}=...\)"),
        pytest.raises(resnets.UsageError, match=f"^({new} takes|seeds must be)"),
    ):
        function(argument, **old)
