"""Map of classes as notebooks and scripts know it: a prediction, with the corrections that people painted."""

from __future__ import annotations

import json
import tempfile
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.api import html
from fctl_napari.api.checked import AnyWindow, checked
from fctl_napari.api.checkpoints import Checkpoint
from fctl_napari.api.image import Image
from fctl_napari.api.lazy_array import WindowedArray, georeferenced, in_memory, require_small
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.correcting.chosen_map import chosen_map
from fctl_napari.correcting.correction_store import corrections_state
from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.evaluation.class_areas import ClassAreas, class_areas
from fctl_napari.exceptions import CheckpointError, FctlError, InputError
from fctl_napari.exporting.export import export as write_map
from fctl_napari.imagery.open import open_image
from fctl_napari.map_report.picture import coarse_labels
from fctl_napari.model.classes import IGNORE, ClassTable, shown_classes
from fctl_napari.segmentation.jobs.refining import image_of
from fctl_napari.segmentation.store.made_by import checkpoint_of
from fctl_napari.segmentation.store.result_paths import usual_corrections_paths
from fctl_napari.segmentation.store.store import Segmentation

if TYPE_CHECKING:
    import geopandas
    import xarray

OPACITY = 0.6
"""Opacity of the classes over the image in pictures."""


class Map:
    """A map of classes: what a network predicts, and where people corrected it, what they painted.

    ``fctl.segment`` and ``fctl.open`` make it.

    Parameters
    ----------
    path : Path or str
        Folder of the segmentation.
    raw : bool, optional
        If True, the prediction alone.
    corrections : Path or str or None, optional
        Corrections that are part of it. None takes those that lie beside the image, if they are of this image.

    Attributes
    ----------
    path : Path
        Folder of the segmentation.

    Raises
    ------
    InputError
        There is no segmentation at the path, or the corrections are missing, damaged, or of another image.
    """

    @checked
    def __init__(self, path: Path | str, *, raw: bool = False, corrections: Path | str | None = None) -> None:
        self._store = Segmentation.open(path)
        self._raw, self._corrections = raw, corrections
        self.path = self._store.path
        if raw:
            self._looked_for = []
        elif corrections is not None:
            self._looked_for = [Path(corrections)]
        else:
            self._looked_for = usual_corrections_paths(self._store.facts["image"], self.path)
        self._state: tuple[object, ...] | None = None
        self._choose()

    def _choose(self) -> None:
        """Take the corrections as they are now."""
        state = tuple(corrections_state(path) for path in self._looked_for)
        if state == self._state:
            return
        named = None if self._corrections is None else Path(self._corrections)
        self._source, self._notes = chosen_map(self._store, raw=self._raw, corrections=named)
        self._state = state

    @property
    def source(self) -> Segmentation | FinalMap:
        """The map on disk, with what is painted by now."""
        self._choose()
        return self._source

    @property
    def notes(self) -> list[str]:
        """Sentences on the corrections that are part of it, and on those that lie there and are not."""
        self._choose()
        return self._notes

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.source.shape

    @property
    def classes(self) -> ClassTable:
        """Classes of the map, with their colors."""
        return shown_classes(self.source.class_table)

    @property
    def checkpoint(self) -> str:
        """Name of the network that made it."""
        return str(self._store.facts["checkpoint"]["name"])

    @property
    def done(self) -> float:
        """Share of the tiles that are computed, 0..1."""
        return float(self._store.done().mean())

    @property
    def corrected(self) -> bool:
        """True if corrections are part of it."""
        return isinstance(self.source, FinalMap)

    def compared_with(self, ground_truth: Path | str) -> Map:
        """Return the map that is compared with a ground truth.

        Parameters
        ----------
        ground_truth : Path or str
            The ground truth.

        Returns
        -------
        Map
            This map; or its prediction alone, if the ground truth are the corrections that are part of it.
        """
        own = self.source.corrections.path if isinstance(self.source, FinalMap) else None
        if own is None or own.resolve() != Path(ground_truth).resolve():
            return self
        alone = self.prediction
        alone._notes = [*self.notes[:-1], "without corrections, because they are the ground truth"]
        return alone

    @property
    def prediction(self) -> Map:
        """The prediction alone."""
        return Map(self.path, raw=True)

    @property
    def crs(self) -> str | None:
        """Coordinate reference system. None if the map has no place on the ground."""
        found = self.source.georeference
        return None if found is None else found.crs

    def network(self) -> Checkpoint:
        """Find the network that made it, among the built-in ones and beside the map and its image.

        Returns
        -------
        Checkpoint
            The network.

        Raises
        ------
        CheckpointError
            It is not there.
        """
        path = checkpoint_of(self._store)
        if path is None:
            raise CheckpointError(f"{self.path}: its network ({self.checkpoint}) is not at hand; give it by its file.")
        return Checkpoint(path)

    @cached_property
    def image(self) -> Image | None:
        """The image, if it is still where it was."""
        try:
            path, value_range, bands = image_of(self._store)
            pyramid = open_image(path, value_range=value_range, bands=bands)
            return Image(pyramid, value_range=value_range, bands=bands)
        except FctlError:
            return None

    @checked
    def read(self, window: AnyWindow | None = None) -> NDArray[np.uint8]:
        """Read the classes of a part.

        Parameters
        ----------
        window : tuple of 4 int or None, optional
            (y0, x0, y1, x1) px, half open. None is the whole map.

        Returns
        -------
        ndarray of uint8 [y, x]
            Index of the class, from 0. 255 where there is none, also outside the image.

        Raises
        ------
        InputError
            The window holds no px or too many for one array, or the file is damaged.
        """
        y0, x0, y1, x1 = window = window or (0, 0, *self.shape)
        require_small(self.path.name, (y1 - y0, x1 - x0))
        return self.source.labels.read(window) - np.uint8(1)  # 0 is no class, and becomes 255

    @checked
    def confidence(self, window: AnyWindow | None = None) -> NDArray[np.float32]:
        """Read the network's confidence in a part.

        Parameters
        ----------
        window : tuple of 4 int or None, optional
            (y0, x0, y1, x1) px, half open. None is the whole map.

        Returns
        -------
        ndarray of float32 [y, x]
            Probability of the predicted class, 0..1. NaN where there is none, and where a person decided.

        Raises
        ------
        InputError
            The window holds no px or too many for one array, or the file is damaged.
        """
        y0, x0, y1, x1 = window = window or (0, 0, *self.shape)
        require_small(self.path.name, (y1 - y0, x1 - x0))
        stored = self.source.confidence.read(window)
        found: NDArray[np.float32] = np.where(stored > 0, stored / np.float32(255), np.float32(np.nan))
        return found

    @checked
    def areas(self, *, progress: Shown = True) -> ClassAreas:
        """Measure the classes, in px and on the ground.

        Parameters
        ----------
        progress : bool or callable, optional
            Whether a bar is shown, or what takes the counts.

        Returns
        -------
        ClassAreas
            Px and hectares by class.

        Raises
        ------
        InputError
            The segmentation is damaged.
        """
        with progress_bar("Measuring", progress) as report:
            return class_areas(self.source, progress=report)

    def to_xarray(self) -> xarray.DataArray:
        """Return the map as an array of xarray that is read where it is computed.

        Returns
        -------
        xarray.DataArray of uint8 [y, x]
            Index of the class, 255 where there is none (``_FillValue``). The names stand in ``attrs["classes"]`` as a
            JSON list, the place on the ground in ``.rio.crs`` and ``.rio.transform()``. netCDF 3 has no unsigned
            bytes: ``to_netcdf`` needs ``encoding={array.name: {"dtype": "int16"}}`` for it.

        Raises
        ------
        InputError
            xarray or rioxarray is not installed.
        """
        array = WindowedArray(self.read, self.shape, np.dtype(np.uint8)).lazy(self.source.labels.chunk)
        found = georeferenced(array, ("y", "x"), self.path.name, self.source.georeference)
        found.attrs |= {"classes": json.dumps(self.classes.names), "_FillValue": IGNORE}
        return found

    @checked
    def to_geopandas(
        self,
        region: AnyWindow | None = None,
        *,
        simplify: float | None = None,
        min_area: int = 0,
        progress: Shown = True,
    ) -> geopandas.GeoDataFrame:
        """Return the map's regions as polygons.

        Parameters
        ----------
        region : tuple of 4 int or None, optional
            (y0, x0, y1, x1) px: only this part.
        simplify : float or None, optional
            Tolerance, px, as for ``fctl.export``.
        min_area : int, optional
            Regions of fewer px are left out.
        progress : bool or callable, optional
            Whether a bar is shown, or what takes the counts.

        Returns
        -------
        geopandas.GeoDataFrame
            Columns class, index, color, area_px, area_m2 where the map has a place on the ground, and geometry: in its
            CRS, else px (x right, y down).

        Raises
        ------
        InputError
            geopandas is not installed, the region holds no px, or the CRS is unknown.
        """
        try:
            import geopandas
        except ImportError:
            raise InputError(
                "geopandas: is not installed, and polygons of it need it; pip install 'fctl-napari[notebook]'."
            ) from None
        with tempfile.TemporaryDirectory() as folder, progress_bar("Tracing", progress) as report:
            file = write_map(
                self.source,
                Path(folder) / "map.gpkg",
                region=region,
                simplify=simplify,
                min_area=min_area,
                progress=report,
            )
            found = geopandas.read_file(file)
        return found if self.crs is not None else found.set_crs(None, allow_override=True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the classes, uint8 [y, x], 255 where there is none."""
        return in_memory(self.read, dtype, copy)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what another process opens it by: its folder, and the corrections that were named."""
        named = None if self._corrections is None else str(Path(self._corrections).absolute())
        return partial(Map, raw=self._raw, corrections=named), (str(self.path.absolute()),)

    def _facts(self) -> dict[str, str]:
        """Return what is known of the map, by name."""
        height, width = self.shape
        return {
            "size": f"{width:,} x {height:,} px (width x height)",
            "network": self.checkpoint,
            "computed": f"{100 * self.done:.3g} % of the tiles",
            **({"corrections": self.source.corrections.path.name} if isinstance(self.source, FinalMap) else {}),
            **({} if self.crs is None else {"CRS": self.crs[:60]}),
            "folder": str(self.path),
        }

    def _coarse(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Return a picture of the map over its image, and the share of each class in it, in words."""
        labels = coarse_labels(self.source, html.SIDE)
        table = self.classes
        palette = np.zeros((256, 3), np.float32)
        colors = [info.color for info in table.scored]
        palette[1 : len(colors) + 1] = colors
        seen = palette[labels]
        if self.image is not None:
            y, x = (np.linspace(0, n - 1, m).round().astype(int) for n, m in zip(self.shape, labels.shape, strict=True))
            there = self.image.read(side=max(labels.shape))
            rows, columns = (k * n // m for k, n, m in zip((y, x), there.shape, self.shape, strict=False))
            below = there[np.ix_(rows, columns)]
            seen = np.where(labels[..., None] > 0, OPACITY * seen + (1 - OPACITY) * below, below)
        counts = np.bincount(labels.ravel(), minlength=256)[1 : len(colors) + 1]
        shares = [f"{100 * count / max(1, counts.sum()):.1f} %" for count in counts]
        return seen.round().astype(np.uint8), shares

    def __repr__(self) -> str:
        """Return name and facts in a line."""
        return f"<Map {self.path.name}: {', '.join(self._facts().values())}>"

    def _repr_html_(self) -> str:
        """Return thumbnail, legend with shares, and facts for a notebook."""
        try:
            seen, shares = self._coarse()
        except FctlError as error:  # it was deleted meanwhile, say
            return html.block(self.path.name, html.facts(self._facts()), html.sentence(str(error)))
        legend = html.legend(zip(self.classes.scored, shares, strict=True))
        return html.block(
            self.path.name,
            html.facts(self._facts()),
            html.picture(seen),
            legend,
            html.sentence("Shares are of the px of this picture that have a class; areas() measures them."),
        )
