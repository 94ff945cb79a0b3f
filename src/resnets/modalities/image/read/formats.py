"""The image formats that are read, recognised by a file's content, not by its name.

The list is closed: Pillow knows some forty more, and hands PostScript to Ghostscript, which runs it as a program.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from functools import cache

from PIL import Image

# By name, and Pillow's module for it, the commonest first. PPM is PGM and PBM as well.
_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "PPM": "PpmImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "AVIF": "AvifImagePlugin",
}
FORMATS = tuple(_PLUGINS)


@cache
def allowed_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow can read."""
    for module in _PLUGINS.values():
        with contextlib.suppress(ImportError):
            importlib.import_module(f"PIL.{module}")
    _silence_libtiff()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _silence_libtiff() -> None:
    """Stops libtiff from printing errors and warnings: Pillow raises what matters, and our message names the file."""
    try:
        library = ctypes.CDLL(
            importlib.import_module("PIL._imaging").__file__
        )  # a library's symbols are found by way of those that it needs
        for setter in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)
    except (OSError, AttributeError):  # no libtiff, or one that is linked in and exports no symbols
        return
