"""Command-line parsers made of function signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_arguments
from resnets.core.signatures import arguments, checked_arguments, parser_of, read_docstring, type_hints

if TYPE_CHECKING:
    from torch import Tensor


def command(
    model: str | Path,
    /,
    *images: str,
    top: int = 5,
    rate: float | None = None,
    workers: int | None = None,
    split: Literal["test", "train"] = "test",
    layout: Literal["nchw", "nhwc"] | None = None,
    out: Path | None = None,
    data_folder: str | Path | None = None,
    verbose: bool = False,
    subscribers: tuple[object, ...] = (),
) -> None:
    """Do a thing; right in 100% of
    all cases.

    More that help does not show.

    Args:
        model: a model file,
            or 50% of one.
        images: images.
        top, workers: how many.

    Returns:
        split: nothing of an argument.
    """


def demand(recipe: str = "digits", /, *overrides: str, seed: int) -> None:
    """Demand."""


def only(model: str, /, *, top: int = 5) -> None:
    """Only."""


def call(function: Any, line: str) -> tuple[list[Any], dict[str, Any]]:
    parser = parser_of(function, "resnets verb", skip=("subscribers",))
    return arguments(function, parser.read(line.split()))


def test_a_bare_call_gives_the_functions_own_defaults() -> None:
    positional, named = call(command, "net a.png")
    assert positional == ["net", "a.png"]
    assert named == {
        "top": 5, "rate": None, "workers": None, "split": "test", "layout": None, "out": None,
        "data_folder": None, "verbose": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "net a b --top 3 --split train",
        "--top 3 net --split train a b",
        "net a --split=train --top=3 b",
        "net --top 9 a b --split train --top 3",
    ],
)
def test_flags_and_arguments_stand_in_any_order(line: str) -> None:
    positional, named = call(command, line)
    assert positional == ["net", "a", "b"]
    assert (named["top"], named["split"]) == (3, "train")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("--top 12", "top", 12),
        ("--workers 0", "workers", 0),
        ("--workers -1", "workers", -1),
        ("--rate 1e-3", "rate", 1e-3),
        ("--layout nhwc", "layout", "nhwc"),
        ("--out runs/a", "out", Path("runs/a")),
        ("--data-folder photos", "data_folder", "photos"),
        ("--verbose", "verbose", True),
    ],
)
def test_a_flag_is_read_as_its_type(line: str, name: str, value: object) -> None:
    found = call(command, f"net a {line}")[1][name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("function", "line", "message"),
    [
        (command, "net --tpo 3", r"No option of resnets verb is called '--tpo': did you mean --top"),
        (command, "net --verbos", r"'--verbos': did you mean --verbose"),
        (command, "net --data_folder=x", r"'--data_folder': did you mean --data-folder"),
        (command, "net --subscribers x", r"'--subscribers'"),
        (command, "net a --split tset", r"--split: invalid choice: 'tset' \(choose from '?test'?, '?train'?\)"),
        (command, "net a --layout hwc", r"--layout: invalid choice: 'hwc'"),
        (command, "net a --top two", r"--top: invalid int value: 'two'. See resnets verb --help"),
        (command, "net a --top 1.5", r"--top: invalid int value"),
        (command, "net a --rate x", r"--rate: invalid float value"),
        (command, "net a --top", r"--top: expected one argument"),
        (command, "--top 3", r"required: MODEL"),
        (demand, "", r"required: --seed"),
        (only, "net more", r"has no place for 'more'. See resnets verb --help"),
    ],
)
def test_wrong_use_is_a_usage_error_with_advice(function: Any, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call(function, line)
    assert "\n" not in str(caught.value)


def test_a_flag_is_not_guessed_from_its_beginning() -> None:
    with pytest.raises(UsageError, match="'--work'"):
        call(command, "net a --work 3")


@pytest.mark.parametrize(
    ("line", "positional"),
    [
        ("--seed 1", ["digits"]),
        ("paper/cifar --seed 1", ["paper/cifar"]),
        ("paper/cifar lr=1 --seed 1 epochs=2", ["paper/cifar", "lr=1", "epochs=2"]),
    ],
)
def test_optional_and_repeated_arguments_are_told_apart(line: str, positional: list[str]) -> None:
    assert call(demand, line) == (positional, {"seed": 1})


def test_help_is_the_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(command, "--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Do a thing; right in 100% of all cases." in text
    assert "MODEL a model file, or 50% of one." in text
    assert "--top N how many (default: 5)." in text
    assert "--split {test,train}" in text
    assert "More that" not in text
    assert "subscribers" not in text


def test_a_docstring_without_arguments_is_its_first_paragraph() -> None:
    assert read_docstring("One\ntwo.\n\nThree.") == ("One two.", {})
    assert read_docstring("") == ("", {})


@renamed_arguments(best="monitor", exact_split="holdout", listeners="subscribers")
@checked_arguments
def fit(
    recipe: str = "digits",
    /,
    *overrides: str,
    monitor: Literal["accuracy", "loss"] | None = None,
    holdout: int = 0,
    subscribers: tuple[object, ...] = (),
) -> tuple[object, ...]:
    """Fit.

    Args:
        monitor: picks the best.
    """
    return recipe, overrides, monitor, holdout, subscribers


def test_python_takes_old_names_of_arguments_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"^fit\(best=...\) is now fit\(monitor=...\)") as caught:
        assert fit("digits", "batch=8", best="loss") == ("digits", ("batch=8",), "loss", 0, ())  # type: ignore[call-arg]
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="listeners"):
        assert fit(listeners=[print])[4] == (print,)  # type: ignore[call-arg]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_name_is_checked_as_the_new_one_and_does_not_stand_beside_it() -> None:
    with pytest.raises(UsageError, match="monitor takes 'accuracy' or 'loss' or none, not 'x'"):
        fit(best="x")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"^fit: best is the old name of monitor: give one of the two"):
        fit(best="loss", monitor="loss")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="worst"):
        fit(worst=3)  # type: ignore[call-arg]


@pytest.mark.filterwarnings("error")
def test_the_command_line_has_the_new_names_alone() -> None:
    parser = parser_of(fit, "resnets fit", skip=("subscribers",))
    positional, named = arguments(fit, parser.read(["digits", "a=1", "--monitor", "loss", "--holdout", "3"]))
    assert fit(*positional, **named) == ("digits", ("a=1",), "loss", 3, ())
    for line in ("--best loss", "--best=loss", "digits a=1 --best loss --holdout 3", "--best"):
        with pytest.raises(UsageError, match=r"^--best is now --monitor. See resnets fit --help"):
            parser.read(line.split())
    with pytest.raises(UsageError, match=r"^--exact-split is now --holdout"):
        parser.read(["--exact-split", "3"])
    with pytest.raises(UsageError, match="No option of resnets fit is called '--listeners'"):
        parser.read(["--listeners", "x"])
    assert "--best" not in parser.format_help()
    assert "picks the best" in parser.format_help()


def test_a_misspelt_old_name_is_not_guessed() -> None:
    with pytest.raises(UsageError, match="No option of resnets fit is called '--bestt'"):
        parser_of(fit, "resnets fit", skip=("subscribers",)).read(["--bestt", "x"])


def test_types_that_are_imported_for_type_checkers_alone_have_a_stand_in() -> None:
    def function(model: str | Tensor, name: Literal["Tensor"], number: int | None) -> Tensor:
        raise NotImplementedError

    found = type_hints(function, unloaded=object)
    assert found == {"model": str | object, "name": Literal["Tensor"], "number": int | None, "return": object}
