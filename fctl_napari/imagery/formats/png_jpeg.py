"""PNG and JPEG files, read whole into memory with Pillow (and imagecodecs where Pillow would reduce the depth)."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fctl_napari.exceptions import InputError, reason_of

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"

MAX_PIXELS = 2**30
"""Largest image that is opened, px, since it is read whole into memory."""

_pillow_limit = threading.Lock()


def read_magic(path: Path) -> bytes:
    """Read the first bytes of a file.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    bytes
        At most 16 bytes.

    Raises
    ------
    InputError
        There is no such file, it is empty, or it may not be read.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(16)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path and its permissions.") from error
    if not magic:
        raise InputError(f"{path}: is an empty file; fetch it again.")
    return magic


def open_pillow(path: Path) -> Image.Image:
    """Open and decode a PNG or JPEG.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    Image.Image
        Decoded image.

    Raises
    ------
    InputError
        It is truncated, is not an image, or has more than 2**30 px.
    """
    image = _undecoded(path)
    try:
        image.load()
    except (SyntaxError, ValueError, OSError) as error:
        raise damaged(path, error) from error
    return image


def _undecoded(path: Path) -> Image.Image:
    with _pillow_limit, warnings.catch_warnings():
        # Pillow's limit against decompression bombs (179 Mpx) is a module variable, and maps are larger.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
        try:
            return Image.open(path, formats=("PNG", "JPEG"))
        except Image.DecompressionBombError:
            raise InputError(
                f"{path}: has more than {MAX_PIXELS} px, too many for a PNG or JPEG; convert it to a tiled TIFF."
            ) from None
        except (UnidentifiedImageError, SyntaxError, ValueError, OSError) as error:
            raise damaged(path, error) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def raster_header(path: Path) -> tuple[tuple[int, int, int], np.dtype[Any], bool]:
    """Read the shape and type of the array that :func:`read_raster` returns, without decoding it.

    Parameters
    ----------
    path : Path
        PNG or JPEG.

    Returns
    -------
    shape : tuple of 3 int
        (height, width, channels), px.
    dtype : dtype
        uint8 or uint16.
    transparency : bool
        True if it has an alpha channel or a transparent color.

    Raises
    ------
    InputError
        It is not an image.
    """
    with _undecoded(path) as image:
        width, height = image.size
        channels = {"L": 1, "LA": 1, "1": 1, "I;16": 1, "RGBA": 4}.get(image.mode, 3)
        transparency = has_transparency(image)
    return (height, width, channels), np.dtype(np.uint16 if is_16_bit_png(path) else np.uint8), transparency


def damaged(path: Path, error: Exception) -> InputError:
    """Make the error for a file that cannot be decoded.

    Parameters
    ----------
    path : Path
        File.
    error : Exception
        Exception of the decoder.

    Returns
    -------
    InputError
        Error to raise.
    """
    reason = reason_of(error)
    return InputError(f"{path}: is truncated or damaged; fetch it again ({reason}).")


def read_raster(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read a PNG or JPEG, and its transparency.

    Palettes and CMYK become RGB, and the alpha of a gray image is dropped. An orientation stored in EXIF is
    not applied, so that pixels stay where masks and maps expect them.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    pixels : ndarray of uint8 or uint16 [y, x, c]
        Gray, RGB or RGBA pixels.
    alpha : ndarray [y, x] or None
        Opacity, 0 where there is no data. None if the file has none.

    Raises
    ------
    InputError
        The file is truncated or not an image.
    """
    if is_16_bit_png(path):
        # Pillow would silently reduce 16-bit colors to 8 bits.
        import imagecodecs

        try:
            array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
        except (imagecodecs.PngError, ValueError, OSError) as error:
            raise damaged(path, error) from error
        array = array[..., np.newaxis] if array.ndim == 2 else array
        alpha = array[..., -1] if array.shape[2] in (2, 4) else None
        return array[..., :1] if array.shape[2] == 2 else array, alpha
    image = open_pillow(path)
    alpha = np.asarray(image.convert("RGBA").getchannel("A")) if has_transparency(image) else None
    if image.mode == "LA":
        image = image.getchannel("L")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
    array = np.asarray(image)
    return array[..., np.newaxis] if array.ndim == 2 else array, alpha


def has_transparency(image: Image.Image) -> bool:
    """Return whether an image has an alpha channel or a transparent color.

    Parameters
    ----------
    image : Image.Image
        Image, opened with Pillow, perhaps not decoded.

    Returns
    -------
    bool
        True if some of its px may be transparent.
    """
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def is_16_bit_png(path: Path) -> bool:
    """Return whether a file is a PNG of 16 bits.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    bool
        True for a PNG with 16 bits per channel.
    """
    with path.open("rb") as file:
        header = file.read(25)
    return header.startswith(PNG_MAGIC) and header[24:25] == b"\x10"
