"""Opening of the ground truth of a map."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.evaluation.ground_truth import Comparable, GroundTruth, notes_on
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.labels.ground_truth_over import open_ground_truth_over
from fctl_napari.imagery.labels.polygon_files import is_polygon_file
from fctl_napari.imagery.labels.polygons import polygon_classes
from fctl_napari.segmentation.store.identity import take_georeference


def open_ground_truth_of(
    segmentation: Comparable, path: Path, mapping: Path | None = None
) -> tuple[GroundTruth, list[str]]:
    """Open the ground truth of a segmentation or a final map.

    Colors and numbers are those of the segmentation's classes, so that it reads the same whatever was painted.

    Parameters
    ----------
    segmentation : Comparable
        An opened store, or a final map.
    path : Path
        The ground truth: class indices, colors, an OME-Zarr label, or polygons.
    mapping : Path or None, optional
        File that says the class of each of its values instead.

    Returns
    -------
    ground_truth : GroundTruth
        The ground truth.
    notes : list of str
        Sentences on its classes.

    Raises
    ------
    InputError
        It is missing, damaged, of another size or of other classes.
    """
    take_georeference(segmentation.facts, segmentation.path)
    colors = None if mapping is not None else segmentation.predicted_classes.colors
    polygons = is_polygon_file(path)
    names = [info.name for info in segmentation.class_table]
    source = open_ground_truth_over(
        path,
        segmentation.georeference,
        segmentation.shape,
        colors,
        by_value=mapping is not None,
        mapped=polygon_classes(mapping, names) if polygons and mapping is not None else None,
        image=segmentation.facts["image"]["path"],
    )
    ground_truth: GroundTruth = source
    if mapping is not None and not polygons:
        ignored = [info.name for info in segmentation.class_table if info.ignored]
        ground_truth = MappedGroundTruth(source, ClassMapping.read(mapping, segmentation.class_table.names, ignored))
    return ground_truth, [f"{path}: {note}." for note in notes_on(segmentation, ground_truth)]
