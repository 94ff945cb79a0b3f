"""Transparent images: dropped as torchvision and timm do, or composited on a colour where the preprocessing has one."""

from __future__ import annotations

from PIL import Image

from resnets.modalities.image.preprocessing import Background


def may_be_transparent(image: Image.Image) -> bool:
    """Whether `image`, of which only the header needs to be read, has a place for transparency."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
        "transparency" in image.info and not image.mode.startswith("I")
    )


def is_transparent(image: Image.Image) -> bool:
    """Whether a pixel of `image`, which is decoded, is transparent, wholly or in part."""
    if not may_be_transparent(image):
        return False
    bands = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    alpha: tuple[int, int] = bands.getextrema()[-1]  # type: ignore[assignment]
    return alpha[0] < 255


def on_background(image: Image.Image, background: Background) -> Image.Image:
    """`image`, which is decoded, in RGBA on a sheet of `background`; itself where no pixel is transparent."""
    if not is_transparent(image):
        return image
    sheet = Image.new("RGBA", image.size, (*background, 255))
    sheet.alpha_composite(image.convert("RGBA"))
    return sheet
