"""The rules that fit `photos` and `finetune` to data, weights and time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnets.artifacts.weights_facts import WeightsFacts
from resnets.commands.recipe_choice import RecipeChoice
from resnets.modalities.image.preprocessing import Preprocessing, encode_mean_image
from resnets.modalities.image.transforms import Augmentations
from resnets.models.catalog import find as find_model
from resnets.recipes.catalog import find
from resnets.recipes.facts import DataFacts, TimeFacts
from resnets.recipes.rules import batch_for, completed, epochs_for, fitted, narrow, scratch_batch_for
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import SGD, AdamW, Recipe

IMAGENETTE = DataFacts(samples=9_469, classes=10, height=224, width=224)
NAMED = replace(IMAGENETTE, names=tuple("abcdefghij"))
TWO_CORES = 44e9  # multiply-adds a second of ResNet-18 training in bf16 on two cores


def photos(facts: DataFacts = IMAGENETTE, minutes: float | None = None) -> Recipe:
    time = None if minutes is None else TimeFacts(minutes=minutes, speed=TWO_CORES)
    return fitted(find("photos"), facts, None, time)[0]


def size_of(recipe: Recipe) -> int:
    height, width = recipe.preprocessing.shape()
    assert height == width
    return height


@pytest.mark.parametrize(("side", "size"), [(500, 224), (224, 224), (200, 192), (130, 128), (64, 64), (28, 64)])
def test_photographs_train_at_the_size_they_have_from_64_to_224(side: int, size: int) -> None:
    recipe = photos(replace(IMAGENETTE, height=side, width=side + 100))
    assert size_of(recipe) == recipe.largest_shape[0] == size


def test_less_time_trains_smaller_and_never_below_64() -> None:
    sizes = [size_of(photos(minutes=minutes)) for minutes in (1, 10, 30, 60, 600)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[2], sizes[-1]) == (64, 128, 224)


def test_few_images_need_no_more_time_than_they_use() -> None:
    few = replace(IMAGENETTE, samples=500)
    assert size_of(photos(few, minutes=4)) > size_of(photos(minutes=4))


def test_crops_grow_to_the_size_of_the_test() -> None:
    for minutes in (1, 10, 30, 600):
        recipe = photos(minutes=minutes)
        assert isinstance(recipe.augmentations, Augmentations)
        resized = recipe.augmentations.progressive_resize
        assert resized is not None
        assert max(64, resized.stop - 32) == resized.start
        assert resized.stop == size_of(recipe)


def test_batch_and_rate_grow_together() -> None:
    small, large = (photos(replace(IMAGENETTE, samples=samples)) for samples in (1_500, 9_469))
    assert (small.batch, large.batch) == (32, 128)
    assert large.optimizer.lr / small.optimizer.lr == pytest.approx(2)
    assert [scratch_batch_for(samples) for samples in (24, 1_999, 2_000, 99_999, 100_000)] == [8, 32, 128, 128, 256]
    assert [batch_for(samples) for samples in (1, 24, 200, 10**6)] == [8, 8, 16, 256]


def test_few_images_are_trained_on_for_more_epochs() -> None:
    epochs = [epochs_for(samples) for samples in (10, 500, 9_469, 100_000, 10**7)]
    assert epochs == sorted(epochs, reverse=True)
    assert (epochs[0], epochs[-1]) == (100, 16)


def test_another_task_has_its_own_settings_and_no_label_smoothing() -> None:
    recipe, reasons = fitted(find("photos"), replace(IMAGENETTE, task="multi-label"), None)
    assert (recipe.task, recipe.label_smoothing) == (MultiLabel(), 0.0)
    assert reasons[-1].topic == "loss"


def test_fine_tuning_takes_the_network_and_the_preprocessing_of_the_weights() -> None:
    preprocessing = Preprocessing(resize=176, crop=160, interpolation="bicubic")
    weights = WeightsFacts("w.pth", "resnet34", find_model("resnet34"), preprocessing, (), ())
    recipe, _ = fitted(find("finetune"), IMAGENETTE, weights)
    assert (recipe.model, recipe.preprocessing) == (weights.spec, weights.preprocessing)
    assert recipe.augmentations.largest_size is None


@pytest.mark.parametrize(
    ("tested", "minutes", "trained"),
    [
        *((224, None, None), (224, 60, None), (224, 48, 192), (224, 30, 160), (224, 1, 160)),
        *(((240, 320), 1, 160), (128, 1, 96), (96, 1, 64), (95, 1, None)),
    ],
)
def test_fine_tuning_trains_on_smaller_crops_than_it_tests_on_where_time_is_short(
    tested: int | tuple[int, int], minutes: float | None, trained: int | None
) -> None:
    preprocessing = Preprocessing(resize=256, crop=tested)
    weights = WeightsFacts("w.pth", "resnet18", find_model("resnet18"), preprocessing, (), ())
    time = None if minutes is None else TimeFacts(minutes=minutes, speed=TWO_CORES)
    for samples, size in ((IMAGENETTE.samples, trained), (200, None)):  # of few images the features stay as they are
        recipe, reasons = fitted(find("finetune"), replace(IMAGENETTE, samples=samples), weights, time)
        assert recipe.augmentations.largest_size == size
        assert recipe.preprocessing == preprocessing
        why = next(reason.why for reason in reasons if reason.topic == "size")
        assert ("too few epochs" in why) == (size is not None)


def test_fine_tuning_sees_as_many_images_as_bits_hyper_rule() -> None:
    """Kolesnikov et al. 2020, section 3.3: 500, 10,000 or 20,000 steps of 512 images."""
    for samples, steps in ((19_999, 500), (200_000, 10_000), (1_281_167, 20_000)):
        recipe, _ = fitted(find("finetune"), replace(IMAGENETTE, samples=samples), None)
        assert recipe.epochs == pytest.approx(512 * steps / samples, abs=0.5)
        assert recipe.fine_tuning == FineTuning(head="probe", wise_ft=0.5)
        assert isinstance(recipe.augmentations, Augmentations)
        assert recipe.augmentations.mix == ()
    assert fitted(find("finetune"), replace(IMAGENETTE, samples=1000), None)[0].epochs == 30


def test_of_few_images_a_class_the_head_alone_learns() -> None:
    for samples, tuned in ((399, FineTuning(head="probe", freeze=5)), (400, FineTuning(head="probe", wise_ft=0.5))):
        recipe, reasons = fitted(find("finetune"), replace(IMAGENETTE, samples=samples), None)
        assert recipe.fine_tuning == tuned
        assert any(reason.topic == "average" for reason in reasons) == (tuned.wise_ft != 1)


@pytest.mark.parametrize(
    ("given", "alpha"),
    [
        (["ema=0.99"], 1.0),
        (["fine_tuning.head=drawn"], 1.0),
        (["fine_tuning.head=drawn", "fine_tuning.wise_ft=0.4"], 0.4),
        (['fine_tuning={"head": "drawn"}'], 1.0),
        (["fine_tuning.layer_decay=0.8", "batch=16"], 0.5),
    ],
)
def test_an_average_of_the_users_own_is_the_only_one(given: list[str], alpha: float) -> None:
    recipe, _ = fitted(find("finetune"), IMAGENETTE, None)
    assert recipe.with_overrides(completed(recipe, given)).fine_tuning.wise_ft == alpha


def test_fine_tuning_for_several_labels_begins_with_the_head() -> None:
    recipe, _ = fitted(find("finetune"), replace(IMAGENETTE, task="multi-label"), None)
    assert (recipe.task, recipe.fine_tuning) == (MultiLabel(), FineTuning(unfreeze=(0.1,)))


def test_other_recipes_are_left_as_they_are() -> None:
    for name in ("digits", "paper/cifar", "timm/a1"):
        assert fitted(find(name), IMAGENETTE, None) == (find(name), ())


def test_a_batch_without_a_rate_scales_the_rate() -> None:
    recipe = photos()
    assert recipe.with_overrides(completed(recipe, ["batch=512"])).optimizer.lr == pytest.approx(
        2 * recipe.optimizer.lr
    )
    for optimizer, scale in ((SGD(lr=1e-3), 4), (AdamW(lr=1e-3), 2)):
        other = replace(recipe, optimizer=optimizer)
        assert other.with_overrides(completed(other, ["batch=512"])).optimizer.lr == pytest.approx(scale * 1e-3)


@pytest.mark.parametrize("given", [["batch=128", "optimizer.lr=0.01"], ["optimizer.lr=0.01", "batch=128"]])
def test_a_rate_that_is_given_is_never_overridden(given: list[str]) -> None:
    recipe = photos()
    assert recipe.with_overrides(completed(recipe, given)).optimizer.lr == 0.01


def test_the_rates_of_published_recipes_are_theirs() -> None:
    assert completed(find("paper/cifar"), ["batch=256"]) == ("batch=256",)


@pytest.mark.parametrize(
    ("known", "rows", "classes", "narrow_"),
    [
        (("cat", "dog"), 2, ("hen", "cow"), True),
        (("cat", "dog"), 2, ("Cat", "cow"), False),  # as the head's rows are matched
        (("Cat-Fish", "dog"), 2, ("cat_fish",), False),
        (("cat", "dog"), 2, ("cat", "dog"), False),
        (("cat", "dog"), 2, ("cat", "hen"), False),  # half are known
        (("cat", "dog"), 2, ("cat", "hen", "cow"), True),
        ((), 5, ("hen", "cow"), True),
        ((), 1000, ("hen", "cow"), False),
        ((), None, ("hen", "cow"), False),  # a backbone does not say, and a regression has no classes
        (tuple(map(str, range(100))), 100, ("hen", "cow"), False),
    ],
)
def test_weights_of_few_other_classes_are_narrow(
    known: tuple[str, ...], rows: int | None, classes: tuple[str, ...], narrow_: bool
) -> None:
    weights = WeightsFacts("w.pth", "resnet18", find_model("resnet18"), Preprocessing(), known, (), rows)
    assert (narrow(weights, classes) is not None) == narrow_


def test_a_mean_image_is_of_one_size() -> None:
    pixels = np.linspace(0, 1, 3 * 32 * 32, dtype=np.float32).reshape(3, 32, 32)
    preprocessing = Preprocessing(resize=32, crop=32, mean_image=encode_mean_image(pixels))
    for rows, size in ((10, 224), (1000, 32)):
        weights = WeightsFacts("w.pth", "resnet18", find_model("resnet18"), preprocessing, (), (), rows)
        recipe, _ = fitted(find("finetune"), NAMED, weights)
        assert size_of(recipe) == size
        assert isinstance(recipe.preprocessing, Preprocessing)
        assert recipe.preprocessing.mean_pixels().mean((1, 2)) == pytest.approx(pixels.mean((1, 2)))


def test_weights_that_know_little_may_learn_for_all_the_time_there_is() -> None:
    weights = WeightsFacts("w.pth", "resnet18", find_model("resnet18"), Preprocessing(), (), (), 5)
    for rows, longest in ((5, None), (1000, 1)):
        facts, known = replace(NAMED, samples=100), replace(weights, rows=rows)
        recipe, reasons = fitted(find("finetune"), facts, known)
        assert RecipeChoice(recipe, reasons).longest == longest


def test_weights_that_know_little_learn_from_few_large_images() -> None:
    facts, time = replace(NAMED, samples=100), TimeFacts(minutes=3, speed=TWO_CORES)
    weights = WeightsFacts("w.pth", "resnet18", find_model("resnet18"), Preprocessing(), (), (), 5)
    recipe, reasons = fitted(find("finetune"), facts, weights, time)
    assert size_of(recipe) == 224
    for minutes, size in ((1, 128), (2, 192)):
        short = TimeFacts(minutes=minutes, speed=TWO_CORES)
        assert size_of(fitted(find("finetune"), facts, weights, short)[0]) == size
    assert "the weights know 5 classes, fewer than 100: they learn as from scratch" in [each.why for each in reasons]
    assert size_of(fitted(find("photos"), facts, None, time)[0]) == 96
