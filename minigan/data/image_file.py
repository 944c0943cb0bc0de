"""One image file: what its header says, and its pixels. Every error names the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minigan.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("RGB", "RGBA", "P", "CMYK")
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 are turns by a quarter
_REMEDY = "replace it or move it out of the folder"


@dataclass(frozen=True)
class Header:
    """Upright width and height in pixels, and whether the image has no colours."""

    width: int
    height: int
    grey: bool


def image_files(folder: Path) -> list[Path]:
    """The images in `folder`, not below it, ordered by name; hidden files are left out."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None
    return [
        path
        for path in entries
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
    ]


def some_image_files(folder: Path) -> list[Path]:
    """As `image_files`; raises DataError if there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = image_files(folder)
    if not paths:
        raise DataError(f"{folder}: no images in it; put {', '.join(EXTENSIONS)} files there")
    return paths


def read_headers(paths: Sequence[Path]) -> list[Header]:
    """The headers of all files, without decoding a pixel.

    Raises DataError for the first file that is no image, or of a kind that is not read.
    """
    headers = []
    for path in paths:
        with _opened(path) as image:
            width, height = image.size
            if _orientation(image) >= 5:
                width, height = height, width
            headers.append(Header(width, height, image.mode in _GREY_MODES))
    return headers


def decode(path: Path, channels: int, use: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`use(image)` of the image in `path`, upright, in mode L (1 channel) or RGB (3).

    Grey files become RGB and colours grey (luma) as needed; transparency is dropped. The file is
    closed when this returns. Raises DataError for a file that is damaged or cut short.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        if _orientation(image) > 1:
            image = ImageOps.exif_transpose(image)
        if image.mode == "P":
            image = image.convert("RGBA")  # a palette may hold transparency in several ways
        return use(image.convert("L" if channels == 1 else "RGB"))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with open(path, "rb") as file, Image.open(file) as image:
            if image.mode not in _GREY_MODES + _COLOUR_MODES:
                raise DataError(
                    f"{path}: pixels of mode {image.mode} are not read; save it with 8 bits a "
                    "channel, grey or RGB"
                )
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{path}: cannot be read as an image; {_REMEDY}") from None
    # Given damaged bytes, the decoders raise nearly any exception: OSError, SyntaxError,
    # ValueError, struct.error, DecompressionBombError, ...
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason.splitlines()[0]}); {_REMEDY}") from error


def _orientation(image: Image.Image) -> int:
    # Only cameras turn images, and for a PNG the question would decode the whole file.
    if image.format not in ("JPEG", "MPO"):
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
