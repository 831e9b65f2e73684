"""OME-Zarr images and labels of other writers, small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

TYPES = {"c": "channel", "band": "channel", "t": "time"}


def axes_of(names: Any, unit: str | None = None) -> list[dict[str, str]]:
    """Describe axes by their names."""
    units = {} if unit is None else {"unit": unit}
    return [{"name": name, "type": TYPES.get(name, "space"), **(units if name not in TYPES else {})} for name in names]


def write_image(
    location: Path | zarr.Group,
    array: np.ndarray,
    *,
    axes: Any = None,
    size: float | None = 1.0,
    translation: tuple[float, float] | None = None,
    unit: str | None = None,
    shapes: int = 1,
    version: int = 3,
    **extra: Any,
) -> zarr.Group:
    """Write an image (or labels, with ``extra``) of every second px a level."""
    group = location if isinstance(location, zarr.Group) else zarr.create_group(location, zarr_format=version)
    axes = axes or "cyx"[-array.ndim :]
    datasets = []
    for k in range(shapes):
        level = array[..., :: 2**k, :: 2**k]
        group.create_array(str(k), data=np.ascontiguousarray(level), chunks=tuple(min(64, n) for n in level.shape))
        lead = [1.0] * (array.ndim - 2)
        transformations: list[dict[str, Any]] = []
        if size is not None:
            transformations.append({"type": "scale", "scale": [*lead, size * 2**k, size * 2**k]})
        if translation is not None:
            transformations.append({"type": "translation", "translation": [*(0.0 for _ in lead), *translation]})
        datasets.append({"path": str(k), "coordinateTransformations": transformations})
    multiscale = {"axes": axes_of(axes, unit), "datasets": datasets}
    if group.metadata.zarr_format == 3:
        group.update_attributes({"ome": {"version": "0.5", "multiscales": [multiscale], **extra}})
    else:
        group.update_attributes({"multiscales": [{"version": "0.4", **multiscale}], **extra})
    return group


def write_labels(image: Path, name: str, array: np.ndarray, **options: Any) -> Path:
    """Write labels under an image and list them."""
    location = image / "labels" / name
    group = zarr.open_group(image / "labels", mode="a")
    listed = group.attrs.asdict().get("ome", {}).get("labels", [])
    group.update_attributes({"ome": {"version": "0.5", "labels": [*listed, name]}})
    write_image(location, array, **{"image-label": {"source": {"image": "../../"}}, **options})
    return location
