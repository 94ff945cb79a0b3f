"""Transparent images: dropped as torchvision and timm do, or composited on a colour where the preprocessing has one."""

from __future__ import annotations

from PIL import Image

from resnets.modalities.image.preprocessing import Background


def may_be_transparent(image: Image.Image) -> bool:
    """Whether the format of `image` stores transparency, by its header alone."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
        "transparency" in image.info and not image.mode.startswith("I")
    )


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel of the decoded `image` is at least partly transparent."""
    if not may_be_transparent(image):
        return False
    bands = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    alpha: tuple[int, int] = bands.getextrema()[-1]  # type: ignore[assignment]
    return alpha[0] < 255


def on_background(image: Image.Image, background: Background) -> Image.Image:
    """The decoded `image` composited on `background`, in RGBA; `image` itself where no pixel is transparent."""
    if not is_transparent(image):
        return image
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas
