"""Points on a map: the map on which they were drawn is the final map of a segmentation, or its prediction alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fctl_napari.correcting.final_map import FinalMap, find_final_map
from fctl_napari.evaluation.class_areas import class_areas
from fctl_napari.evaluation.points.checked_points import CheckedPoints, draw_sample, points_path
from fctl_napari.evaluation.points.point_estimate import PointEstimate, estimate_points
from fctl_napari.evaluation.points.point_sample import count_classes
from fctl_napari.evaluation.points.sample_size import TOTAL
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


@dataclass(frozen=True)
class MapPoints:
    """Points, and the map on which they were drawn, as it is now.

    Attributes
    ----------
    points : CheckedPoints
        The points.
    source : Segmentation or FinalMap
        The map.
    path : Path
        File of the points.
    """

    points: CheckedPoints
    source: Segmentation | FinalMap
    path: Path

    @classmethod
    def open(cls, segmentation: Path | str) -> MapPoints:
        """Open the points of a segmentation and their map.

        Parameters
        ----------
        segmentation : Path or str
            Path of the segmentation.

        Returns
        -------
        MapPoints
            The points.

        Raises
        ------
        InputError
            There are no points, or they or the map are damaged.
        """
        store = Segmentation.open(segmentation)
        path = points_path(store.path)
        points = CheckedPoints.read(path)
        final = find_final_map(store) if points.final else None
        return cls(points, final or store, path)

    def require_map(self, progress: Progress | None = None) -> None:
        """Refuse points that were drawn before the map was changed. The map is read once.

        Parameters
        ----------
        progress : Progress or None, optional
            Called as ``progress(done, total)`` with counts of blocks.

        Raises
        ------
        InputError
            The map has changed, or is of another image.
        Cancelled
            ``progress`` raised it.
        """
        counts = count_classes(self.source.labels, len(self.source.class_table.names), progress)
        self.points.require_map(self.source, counts, self.path)

    def estimate(self, progress: Progress | None = None) -> tuple[PointEstimate, float | None]:
        """Estimate areas and accuracies. The map is read once, and once more where its hectares are known.

        Parameters
        ----------
        progress : Progress or None, optional
            Called as ``progress(done, total)`` with counts of blocks, pass by pass.

        Returns
        -------
        estimate : PointEstimate
            The estimates.
        hectares : float or None
            Mapped hectares of all classes; None where they are not known, or not the same for each px.

        Raises
        ------
        InputError
            The map has changed, a true class is none of it, or too few points are checked.
        Cancelled
            ``progress`` raised it.
        """
        counts = count_classes(self.source.labels, len(self.source.class_table.names), progress)
        found = estimate_points(self.points, self.source, counts, self.path)
        known = self.source.georeference is not None
        return found, class_areas(self.source, progress=progress).even_hectares if known else None


def draw_on_map(
    source: Segmentation | FinalMap,
    *,
    final: bool = True,
    total: int = TOTAL,
    least: int | None = None,
    seed: int = 0,
    fresh: bool = False,
    progress: Progress | None = None,
) -> MapPoints:
    """Draw points on a map, and write them beside its segmentation.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map.
    final : bool, optional
        If True, corrections that lie beside the image are part of the map, if there are any.
    total, least, seed : int or None, optional
        See ``draw_points``.
    fresh : bool, optional
        If True, points that are checked already are dropped.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    MapPoints
        The points.

    Raises
    ------
    InputError
        Nothing is mapped.
    OutputError
        Checked points lie there, the disk is full, or the path is not writable.
    Cancelled
        ``progress`` raised it.
    """
    path = points_path(source.path)
    counts = count_classes(source.labels, len(source.class_table.names), progress)
    points = draw_sample(source, counts, path, final=final, total=total, least=least, seed=seed, fresh=fresh)
    return MapPoints(points, source, path)
