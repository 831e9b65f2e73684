"""Large images as lazy levels, read by windows as the uint8 RGB that networks expect."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.cache.use import Use
from fctl_napari.exceptions import FctlError, InputError, reason_of
from fctl_napari.imagery.band_names import Bands, band_names_in, choose_bands, rgb_in
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.level import Level, read_padded
from fctl_napari.imagery.numbered import FileImage
from fctl_napari.imagery.provenance import Origin
from fctl_napari.imagery.resampling import resize_box, resize_box_of_strips
from fctl_napari.imagery.validity import NON_FINITE, Validity, fill_invalid
from fctl_napari.windows import FloatWindow, IntWindow, Window
from fctl_napari.words import count_of

__all__ = ["FloatWindow", "Georeference", "IntWindow", "Pyramid", "has_pyramid"]

LARGE_SIDE = 4096
"""Longest side, px, of an image that is shown quickly without levels of its own. See :func:`has_pyramid`."""

STRIP_PX = 2**22
"""Approximate number of px resampled at once, so that memory does not grow with the window's height."""

EXACT_PX = 2**26
"""Largest exact window, px, that is passed to Pillow in one call."""


class Pyramid:
    """An image in several resolutions, read from disk on demand.

    Parameters
    ----------
    name : str
        Name for users, such as that of a layer.
    levels : sequence of Level
        Levels from the finest to the coarsest, all with the same channels and dtype.
    path : str or None, optional
        File or folder that it was opened from.
    factors : sequence of tuple of 2 float or None, optional
        Level-0 px per px of each level, (y, x). The default is the ratios of the shapes.
    native_levels : int or None, optional
        Number of levels that lie on disk. The rest is computed in memory.
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255. It is needed to read data that is not uint8.
    bands : tuple of 3 int or None, optional
        Indices of the red, green and blue channels, from 0. The default is the first three.
    band_names : sequence of str or None, optional
        Name of each channel, as far as the file states them.
    unclear_bands : str or None, optional
        Reason why ``bands`` are needed, as the end of a sentence about the file.
    georeference : Georeference or None, optional
        Georeference of level 0.
    pixel_size : tuple of 2 float, optional
        Size of a level-0 px, (y, x), in ``unit``.
    translation : tuple of 2 float, optional
        Position of the center of the first px of level 0, (y, x), in ``unit``.
    unit : str or None, optional
        Unit of ``pixel_size``: a name that pint knows (``"meter"``), or None.
    origin : Origin or None, optional
        Image that it was converted from.
    notes : sequence of str, optional
        What of its file is not used, as ends of sentences about it.
    validity : Validity or None, optional
        Marks of its px without data. Floating point values that are NaN or infinite are no data in any case.
    images : sequence of FileImage, optional
        All images of its file, where that holds several. This one has the location ``path``.

    Raises
    ------
    InputError
        The bands do not exist, or the range is empty.

    Notes
    -----
    Windows are (y0, x0, y1, x1), half open. Reading is safe from several threads.
    """

    def __init__(
        self,
        name: str,
        levels: Sequence[Level],
        *,
        path: str | None = None,
        factors: Sequence[tuple[float, float]] | None = None,
        native_levels: int | None = None,
        value_range: tuple[float, float] | None = None,
        bands: tuple[int, int, int] | None = None,
        band_names: Sequence[str | None] = (),
        unclear_bands: str | None = None,
        georeference: Georeference | None = None,
        pixel_size: tuple[float, float] = (1.0, 1.0),
        translation: tuple[float, float] = (0.0, 0.0),
        unit: str | None = None,
        origin: Origin | None = None,
        notes: Sequence[str] = (),
        validity: Validity | None = None,
        images: Sequence[FileImage] = (),
    ) -> None:
        self.name = name
        self.path = path
        self.levels: list[Level] = list(levels)
        height, width = self.levels[0].shape[:2]
        self.factors: list[tuple[float, float]] = (
            list(factors)
            if factors is not None
            else [(height / level.shape[0], width / level.shape[1]) for level in self.levels]
        )
        self.native_levels = len(self.levels) if native_levels is None else native_levels
        self.value_range = value_range
        self.bands = bands
        self._network_bands: tuple[int, ...] | None = None
        self._ranges: tuple[tuple[float, float], ...] | None = None
        self.band_names = tuple(band_names) or (None,) * self.channels
        self.unclear_bands = unclear_bands
        self.georeference = georeference
        self.pixel_size = pixel_size
        self.translation = translation
        self.unit = unit
        self.origin = origin
        self.notes = tuple(notes)
        self.validity = validity
        self.images = tuple(images)
        self.use: Use | None = None  # of an entry of the cache, as long as this or a copy lives
        self._check()

    def _check(self) -> None:
        if self.bands is not None and not all(0 <= band < self.channels for band in self.bands):
            last = self.channels - 1
            raise InputError(f"{self._location}: bands {self.bands} do not exist; choose from 0 to {last}.")
        if self.value_range is not None and not -math.inf < self.value_range[0] < self.value_range[1] < math.inf:
            raise InputError(f"{self._location}: the range {self.value_range} is empty or endless; state LO < HI.")

    @property
    def _location(self) -> str:
        return self.path or self.name

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of level 0, px."""
        return self.levels[0].shape[:2]

    @property
    def channels(self) -> int:
        """Number of stored channels."""
        return self.levels[0].shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored data type."""
        return self.levels[0].dtype

    def __repr__(self) -> str:
        """Return name, size and type."""
        size = " x ".join(map(str, self.shape))
        return (
            f"<Pyramid {self.name}: {size} px, {self.channels} x {self.dtype}, {count_of(len(self.levels), 'level')}>"
        )

    def require_rgb(self) -> None:
        """Check that the pixels can be read as RGB, before any work starts.

        Raises
        ------
        InputError
            More channels than colors and no ``bands``, or values of unknown range and no ``value_range``.
        """
        chosen = self.bands or self._network_bands
        if chosen is None and (self.unclear_bands is not None or self.channels not in (1, 3, 4)):
            reason = self.unclear_bands or f"has {count_of(self.channels, 'channel')}"
            raise InputError(
                f"{self._location}: {reason}; say which are red, green and blue with --bands R G B (in Python: "
                "bands=(R, G, B))."
            )
        if self.dtype.kind not in "buif":
            raise InputError(f"{self._location}: holds {self.dtype} values; convert it to integers or floats.")
        if self.value_range is None and self._ranges is None and self.dtype != np.uint8:
            raise InputError(
                f"{self._location}: holds {self.dtype} values; state which become black and white with --range LO HI, "
                "which fctl info measures (in Python: value_range=(LO, HI))."
            )

    def with_band_names(self, names: Sequence[str]) -> Pyramid:
        """Return the image with other names of its bands, by which red, green and blue are chosen.

        Parameters
        ----------
        names : sequence of str
            Name of each channel.

        Returns
        -------
        Pyramid
            The same image.

        Raises
        ------
        InputError
            There are more or fewer channels.
        """
        if len(names) != self.channels:
            raise InputError(
                f"{self._location}: has {self.channels} bands, and {len(names)} names are stated; give one each."
            )
        named = copy.copy(self)
        choice = choose_bands(names)
        named.band_names = tuple(names)
        named.bands, named.unclear_bands = choice.bands, choice.unclear
        return named

    def with_display(self, value_range: tuple[float, float] | None, bands: Bands | None) -> Pyramid:
        """Return the image with another range of values or other bands, as if it had been opened with them.

        Parameters
        ----------
        value_range : tuple of 2 float or None
            (low, high) values that become 0 and 255. None leaves them as they are.
        bands : Bands or None
            Indices of red, green and blue, or the names of all bands. None leaves them as they are.

        Returns
        -------
        Pyramid
            The same image.

        Raises
        ------
        InputError
            The bands do not exist, or the range is empty.
        """
        names = band_names_in(bands)
        shown = copy.copy(self) if names is None else self.with_band_names(names)
        shown.value_range = value_range or self.value_range
        shown.bands = rgb_in(bands) or shown.bands
        shown._check()
        return shown

    def with_bands(
        self, bands: Sequence[int], value_ranges: Sequence[tuple[float, float] | None] | None = None
    ) -> Pyramid:
        """Return the image with other bands in the place of red, green and blue.

        Parameters
        ----------
        bands : sequence of int
            Indices from 0, any number of them. What is read has one channel for each.
        value_ranges : sequence of tuple of 2 float or None, optional
            (low, high) values of each that become 0 and 255. None takes those of the image.

        Returns
        -------
        Pyramid
            The same image.

        Raises
        ------
        InputError
            The values of a band are not uint8, and nothing says which become 0 and 255.
        """
        chosen = copy.copy(self)
        chosen._network_bands = tuple(bands)
        ranges = [own or self.value_range for own in value_ranges or [None] * len(bands)]
        if None not in ranges or (self.dtype == np.uint8 and any(ranges)):
            chosen._ranges = tuple(own or (0.0, 255.0) for own in ranges)
        chosen.require_rgb()
        return chosen

    def read(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window as RGB.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``. Pixels outside are black.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0, 3]
            RGB pixels, or one channel for each band of :meth:`with_bands`. Those without data are filled, see
            :func:`fill_invalid`.

        Raises
        ------
        InputError
            The file is damaged here, or cannot be shown as RGB (see :meth:`require_rgb`).
        """
        colors, valid = self._read(window, level)
        return colors if valid is None else fill_invalid(_with_opacity(colors, valid))

    @property
    def masked(self) -> bool:
        """True if px may be without data: the file marks some, or the values are floating point."""
        return self.validity is not None or self.dtype.kind == "f"

    @property
    def validity_source(self) -> str | None:
        """Mark by which px without data are known, in words. None if all px hold data."""
        if self.validity is not None:
            return self.validity.source
        return NON_FINITE if self.masked else None

    @property
    def rgb_channels(self) -> tuple[int, ...]:
        """Indices of the channels that are shown as RGB: three, or one that is gray."""
        return self.bands or tuple(range(min(self.channels, 3)))  # alpha, the fourth channel, is not shown

    @property
    def read_channels(self) -> tuple[int, ...]:
        """Indices of the channels that are read: those of :meth:`with_bands`, or else of RGB."""
        return self._network_bands or self.rgb_channels

    def read_rgba(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window as RGB with its validity as opacity.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``. Pixels outside are black and opaque.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0, 4]
            RGB, and 0 where there is no data, else 255.

        Raises
        ------
        InputError
            See :meth:`read`.
        """
        return _with_opacity(*self._read(window, level))

    def _read(self, window: IntWindow, level: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Read a window as RGB, black outside, with its validity, True outside. None if all of it is valid."""
        self.require_rgb()
        channels = 3 if self._network_bands is None else len(self._network_bands)
        valid: NDArray[np.bool_] | None = None

        def read(rows: slice, columns: slice) -> NDArray[np.uint8]:
            nonlocal valid
            inside = (rows.start, columns.start, rows.stop, columns.stop)
            values = self._colors(level, inside)
            there = self._valid(level, inside, values) if self.masked else None
            colors = self._to_uint8(values)
            if colors.shape[2] < channels:
                colors = np.repeat(colors, 3, axis=2)
            if there is not None and not there.all():
                y0, x0, y1, x1 = window
                valid = np.ones((y1 - y0, x1 - x0), bool)
                valid[Window(*inside).slices_in(window)] = there
            return np.array(colors, order="C")  # never a view of what the image keeps in memory

        return read_padded(read, self.levels[level].shape, window, channels=(channels,)), valid

    def read_valid(self, window: IntWindow, level: int = 0) -> NDArray[np.bool_]:
        """Read which px of a window hold data.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of bool [y1 - y0, x1 - x0]
            True where there is data. False outside.

        Raises
        ------
        InputError
            The file is damaged here.
        """

        def read(rows: slice, columns: slice) -> NDArray[np.uint8]:
            inside = (rows.start, columns.start, rows.stop, columns.stop)
            by_value = self.dtype.kind == "f" or (self.validity is not None and self.validity.masks[level].by_value)
            values = self._colors(level, inside) if by_value else None
            return self._valid(level, inside, values).view(np.uint8)

        return read_padded(read, self.levels[level].shape, window).view(bool)

    def _valid(self, level: int, window: IntWindow, values: NDArray[Any] | None) -> NDArray[np.bool_]:
        """Return which px of a window inside hold data, given their values of ``read_channels`` if they are needed."""
        y0, x0, y1, x1 = window
        valid: NDArray[np.bool_] = np.ones((y1 - y0, x1 - x0), bool)
        if self.validity is not None:
            mask = self.validity.masks[level]
            try:
                valid = np.asarray(mask.valid(window, values, self.read_channels).any(axis=2))
            except FctlError:
                raise
            except Exception as error:  # codecs raise what they like
                raise self._damaged(window, error) from error
        if values is not None and values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=2)
        return valid

    def _colors(self, level: int, window: IntWindow) -> NDArray[Any]:
        """Read the stored values of ``read_channels`` in a window that lies inside."""
        if self.bands is None and self._network_bands is None:
            return self.read_native(window, level, channels=min(self.channels, 3))
        return self.read_native(window, level)[..., list(self.read_channels)]

    def _to_uint8(self, block: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale values to 0..255. What a value that is not finite becomes is not defined."""
        if self._ranges is None and self.value_range is None:
            return block  # uint8, as require_rgb has checked
        # float32 holds every 16-bit integer exactly, and takes half the memory of float64.
        narrow = block.dtype.itemsize <= 2 or block.dtype == np.float32
        values: NDArray[Any] = block.astype(np.float32 if narrow else np.float64)
        ranges = np.array(self._ranges or [self.value_range], np.float64)
        low, factor = ranges[:, 0].astype(values.dtype), (255 / (ranges[:, 1] - ranges[:, 0])).astype(values.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled: NDArray[Any] = (values - low) * factor
            rounded: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
        return rounded

    def read_native(self, window: IntWindow, level: int = 0, *, channels: int | None = None) -> NDArray[Any]:
        """Read a window inside the image as it is stored.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``.
        level : int, optional
            Index of the level.
        channels : int or None, optional
            Number of channels. The default is all.

        Returns
        -------
        ndarray [y1 - y0, x1 - x0, channels]
            Stored values, of :attr:`dtype`.

        Raises
        ------
        InputError
            The file is damaged here, or the array cannot be computed.
        """
        y0, x0, y1, x1 = window
        try:
            return self.levels[level][y0:y1, x0:x1, :channels]
        except FctlError:
            raise
        except Exception as error:  # codecs raise what they like
            raise self._damaged(window, error) from error

    def _damaged(self, window: IntWindow, error: Exception) -> InputError:
        reason = reason_of(error)
        if self.path is None:  # an array: what fails is the code or the files of whoever made it
            kind = type(error).__name__
            reason = kind if reason == kind else f"{kind}: {reason}"
            return InputError(
                f"{self.name}: cannot be computed or read at rows {window[0]} to {window[2]} ({reason}); mend what "
                "makes the array, and call again."
            )
        return InputError(
            f"{self._location}: is damaged at rows {window[0]} to {window[2]}; fetch it again ({reason})."
        )

    def read_resized(self, window: FloatWindow, size: int, *, exact: bool = False) -> NDArray[np.uint8]:
        """Read a window resampled to a square, with Pillow's antialiased bilinear filter.

        Parameters
        ----------
        window : FloatWindow
            (y0, x0, y1, x1), level-0 px. It may be fractional, and may reach outside, where it is black.
        size : int
            Side of the result, px.
        exact : bool, optional
            If True, full resolution is read: for whole-px windows the result is, to the bit, what Pillow's ``resize``
            gives for that crop of the image padded with black (off by 1 at most in windows of more than 2**26 px).
            Otherwise the coarsest level that is still sampled at least as finely as the result is read.

        Returns
        -------
        ndarray of uint8 [size, size, 3]
            RGB pixels.

        Raises
        ------
        InputError
            See :meth:`read`.
        ValueError
            The window or the size is empty.
        """
        level, window = self._on_level(window, size, exact)
        # A crop of whole px around the window. The window itself is then Pillow's box in it.
        outer = _around(window)
        box = (window[1] - outer[1], window[0] - outer[0], window[3] - outer[1], window[2] - outer[0])
        height, width = outer[2] - outer[0], outer[3] - outer[1]
        if height * width > (EXACT_PX if exact else STRIP_PX):
            read = partial(self.read_rgba if self.masked else self.read, level=level)
            rows = self._strip_rows(level, width)
            return resize_box_of_strips(read, outer, box, size, rows, opacity=self.masked)
        colors, valid = self._read(outer, level)
        if valid is None:
            return resize_box(colors, box, size)
        return resize_box(_with_opacity(colors, valid), box, size, opacity=True)

    def resized_from(self, window: FloatWindow, size: int, *, exact: bool = False) -> tuple[int, IntWindow]:
        """Return what :meth:`read_resized` reads.

        Parameters
        ----------
        window : FloatWindow
            As for :meth:`read_resized`.
        size : int
            As for :meth:`read_resized`.
        exact : bool, optional
            As for :meth:`read_resized`.

        Returns
        -------
        level : int
            Index of the level.
        window : IntWindow
            (y0, x0, y1, x1), px of the level. It may reach outside.

        Raises
        ------
        ValueError
            The window or the size is empty.
        """
        level, on_level = self._on_level(window, size, exact)
        return level, _around(on_level)

    def _on_level(self, window: FloatWindow, size: int, exact: bool) -> tuple[int, FloatWindow]:
        """Return the level that is resampled to a size, and the window in its px."""
        y0, x0, y1, x1 = window
        if y1 <= y0 or x1 <= x0 or size < 1:
            raise ValueError(f"window {window} or size {size} is empty")
        level = 0 if exact else self._level_for((y1 - y0) / size, (x1 - x0) / size)
        fy, fx = self.factors[level]
        return level, (y0 / fy, x0 / fx, y1 / fy, x1 / fx)

    def _level_for(self, step_y: float, step_x: float) -> int:
        """Choose the coarsest level whose px are no larger than a step between samples (level-0 px)."""
        tolerance = 1 + 1e-3  # a level of 2701 px has factor 1.9996 or 2.0004, depending on who wrote it
        step_y, step_x = step_y * tolerance, step_x * tolerance
        return max((i for i, (fy, fx) in enumerate(self.factors) if fy <= step_y and fx <= step_x), default=0)

    def _strip_rows(self, level: int, width: int) -> int:
        chunk = self.levels[level].chunks[0]
        return chunk * max(1, round(STRIP_PX / (width * chunk)))


def _around(window: FloatWindow) -> IntWindow:
    """Return the window of whole px around another one."""
    return math.floor(window[0]), math.floor(window[1]), math.ceil(window[2]), math.ceil(window[3])


def _with_opacity(colors: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Return colors with opacity as a further channel: transparent, and black, where there is no data."""
    result = np.empty((*colors.shape[:2], colors.shape[2] + 1), np.uint8)
    result[..., :-1] = colors
    if valid is None:
        result[..., -1] = 255
        return result
    result *= valid[..., np.newaxis]
    result[..., -1] = np.where(valid, np.uint8(255), np.uint8(0))
    return result


def has_pyramid(pyramid: Pyramid) -> bool:
    """Return whether an image can be shown without conversion.

    Parameters
    ----------
    pyramid : Pyramid
        Image.

    Returns
    -------
    bool
        True if it has levels on disk, or is small enough without.
    """
    return pyramid.native_levels > 1 or max(pyramid.shape) <= LARGE_SIDE
