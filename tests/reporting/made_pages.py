"""The pages that commands write, of digits and of drawn shapes, for tests in a browser and for the screenshots."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import resnets
from resnets.commands.training_run import Run
from tests.conftest import truncate

SIDE = 48  # pixels
SHAPES = ("circle", "square", "triangle", "cross", "ring")
COLORS = {
    "red": (210, 50, 50), "orange": (225, 120, 30), "yellow": (215, 190, 40), "green": (70, 170, 70),
    "teal": (40, 160, 150), "blue": (50, 100, 210), "violet": (130, 80, 200), "pink": (220, 100, 170),
}  # fmt: skip
SMALL = (
    "model.depths=[1,1]", "model.widths=[16,32]", "model.stem_width=16", "preprocessing.resize=24",
    "preprocessing.crop=24", "batch=32",
)  # fmt: skip


def draw(shape: str, color: tuple[int, int, int], random: np.random.Generator) -> Image.Image:
    """The shape at a random place, in a colour near `color`, out of focus and in noise."""
    size, thick = random.uniform(11, 17), random.uniform(3, 6)
    x, y = random.uniform(size, SIDE - size, 2)
    ink = tuple(int(each) for each in np.clip(np.array(color) + random.normal(0, 16, 3), 0, 255))
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(each) for each in random.integers(170, 256, 3)))
    pen = ImageDraw.Draw(image)
    box = (x - size, y - size, x + size, y + size)
    match shape:
        case "circle":
            pen.ellipse(box, fill=ink)
        case "ring":
            pen.ellipse(box, outline=ink, width=round(thick))
        case "square":
            pen.regular_polygon((x, y, size), 4, random.uniform(-20, 20), fill=ink)
        case "triangle":
            pen.regular_polygon((x, y, size), 3, random.uniform(-20, 20), fill=ink)
        case _:
            pen.line((x - size, y, x + size, y), fill=ink, width=round(2 * thick))
            pen.line((x, y - size, x, y + size), fill=ink, width=round(2 * thick))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(random.uniform(0, 2))), np.float64)
    return Image.fromarray((blurred + random.normal(0, 10, blurred.shape)).clip(0, 255).astype(np.uint8))


def write_shapes(root: Path, *, colored: bool, train: int, test: int, wrong: float = 0.0) -> Path:
    """Writes JPEG files of each shape, `colored` of each shape in each colour as a class of its own.

    Args:
        train, test: how many of each class.
        wrong: the share of the test images that lie in the folder of another class.
    """
    random = np.random.default_rng(0)
    names = [f"{color} {shape}" for shape in SHAPES for color in COLORS] if colored else list(SHAPES[:3])
    for split, count in (("train", train), ("test", test)):
        for number, name in enumerate(names):
            for image in range(count):
                color = COLORS[name.split()[0]] if colored else list(COLORS.values())[random.integers(len(COLORS))]
                own = names[(number + 1) % len(names)] if split == "test" and random.random() < wrong else name
                path = root / split / own / f"{name.replace(' ', '-')}-{image:03}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                draw(name.split()[-1], color, random).save(path, quality=85)
    return root


def write_faulty_shapes(root: Path) -> Path:
    """Shapes with a damaged file, a leak, a contradiction and a class that has next to nothing."""
    write_shapes(root, colored=False, train=24, test=6)
    circles, squares = root / "train" / "circle", root / "train" / "square"
    truncate(squares / "square-003.jpg")
    shutil.copy(circles / "circle-000.jpg", root / "test" / "circle" / "leaked.jpg")
    shutil.copy(circles / "circle-001.jpg", squares / "also-a-square.jpg")
    (circles / "notes.txt").write_text("drawn")
    (root / "train" / "rectangle").mkdir()
    draw("square", COLORS["red"], np.random.default_rng(1)).save(root / "train" / "rectangle" / "only.jpg")
    return root


def trained(data: str | Path, out: Path, epochs: float, *settings: str, seed: int = 0) -> Run:
    """A small run on shapes, or on digits with the settings of their recipe."""
    recipe, own = ("digits", settings) if data == "digits" else ("paper/cifar", (*SMALL, "name=shapes", *settings))
    return resnets.train(recipe, *own, data=data, epochs=epochs, seed=seed, device="cpu", out=out, quiet=True)


def digits(folder: Path, length: float = 1) -> Path:
    return trained("digits", folder / "run", 40 * length).report


def shapes(folder: Path, length: float = 1) -> Path:
    data = write_shapes(folder / "shapes", colored=False, train=round(300 * length), test=150, wrong=0.04)
    return trained(data, folder / "run", 30, "optimizer.lr=0.1").report


def many_classes(folder: Path, length: float = 1) -> Path:
    data = write_shapes(folder / "shapes", colored=True, train=round(40 * length), test=20)
    return trained(data, folder / "run", 14 * length, "optimizer.lr=0.05").report


def check(folder: Path, length: float = 1) -> Path:
    resnets.check(write_faulty_shapes(folder / "shapes"), out=folder / "checked", quiet=True)
    return folder / "checked" / "check.html"


def compare(folder: Path, length: float = 1) -> Path:
    data = write_shapes(folder / "shapes", colored=False, train=round(300 * length), test=150)
    runs = [trained(data, folder / f"run-{number}", number * 5 * length, "optimizer.lr=0.05") for number in (1, 2)]
    resnets.compare(*(run.folder for run in runs), data=data, out=folder / "compared", quiet=True)
    return folder / "compared" / "compare.html"


def sweep(folder: Path, length: float = 1) -> Path:
    values = ("optimizer.lr=0.003,0.05,100", "seed=0,1")
    found = resnets.train(
        "digits", data="digits", val_share=0.2, sweep=values, epochs=8 * length, device="cpu", out=folder / "rates",
        quiet=True,
    )  # fmt: skip
    return found.report


# What writes a page into a folder. A `length` below 1 is for tests: a shorter training, which looks the same.
PAGES: dict[str, Callable[[Path, float], Path]] = {
    "digits": digits,
    "shapes": shapes,
    "many-classes": many_classes,
    "check": check,
    "compare": compare,
    "sweep": sweep,
}
