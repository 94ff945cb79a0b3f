"""Errors: one family, exit codes, and the nearest name."""

from __future__ import annotations

import pickle

import pytest

from resnets.core.errors import (
    DataError,
    FileError,
    InterruptedRunError,
    ResnetsError,
    TrainingError,
    UsageError,
    unknown,
)


@pytest.mark.parametrize(
    ("error", "code"), [(ResnetsError, 1), (UsageError, 2), (DataError, 1), (FileError, 1), (TrainingError, 1)]
)
def test_every_error_is_of_the_family_and_has_its_exit_code(error: type[ResnetsError], code: int) -> None:
    with pytest.raises(ResnetsError) as caught:
        raise error("what is wrong")
    assert caught.value.exit_code == code
    assert str(caught.value) == "what is wrong"


def test_an_interrupted_run_exits_as_its_signal_asks() -> None:
    assert InterruptedRunError("stopped", 15).exit_code == 143
    assert str(InterruptedRunError("stopped", 15)) == "stopped"


def test_an_interrupted_run_error_can_be_pickled() -> None:
    restored = pickle.loads(pickle.dumps(InterruptedRunError("stopped", 2)))
    assert (str(restored), restored.exit_code) == ("stopped", 130)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    error = unknown("model", "resnet5O", ["resnet18", "resnet50", "plain34"])
    assert isinstance(error, UsageError)
    assert str(error) == "No model is called 'resnet5O': did you mean resnet50 or resnet18?"


def test_where_nothing_is_near_a_short_list_is_given_whole() -> None:
    assert str(unknown("stem", "xyz", ["imagenet", "deep"])) == "No stem is called 'xyz': choose from imagenet, deep."


def test_where_nothing_is_near_a_long_list_is_cut() -> None:
    message = str(unknown("model", "?", (f"net{i}" for i in range(40))))
    assert "there are 40, such as net0, net1" in message
    assert "net6" not in message


def test_where_there_is_nothing_to_choose_it_is_said() -> None:
    assert str(unknown("setting of task", "loss", [])) == "No setting of task is called 'loss': there are none."
