"""Corrections of maps: what people paint, in files that the window opens too."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.api.checked import checked
from fctl_napari.api.checkpoints import Checkpoint
from fctl_napari.api.forms import OutPath
from fctl_napari.api.locations import cache_folder
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike, image_and_map
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.model.classes import ClassTable
from fctl_napari.segmentation.store.result_paths import own_corrections


@checked
def corrections(
    image: ImageLike | Map,
    path: OutPath | None = None,
    *,
    classes: ClassTable | Checkpoint | Map | str | Path | None = None,
    write: bool = True,
) -> Corrections:
    """Open the corrections of an image, which are made if there are none yet.

    Use it in a ``with`` block: one program at a time may write. Each ``write`` of it is on disk when it returns, and
    ``undo`` takes it back.

    Parameters
    ----------
    image : Image, Map, str, Path or array
        The image; or a map, whose image and classes are taken.
    path : Path, str or None, optional
        Folder of the corrections, ``.ome.zarr``. None is the place where the window looks for them: beside the image.
    classes : ClassTable, Checkpoint, Map, str, Path or None, optional
        Classes that can be painted, if the corrections are made; they are added to those of others. A table, the name
        of one (``"loveda"``, say) or a file of one (see ``class_tables.class_table``) makes classes of your own:
        neither a map nor a checkpoint replaces or extends them unless you name it here. None takes those of the map.
    write : bool, optional
        If False, they are opened to be read only, and not made.

    Returns
    -------
    Corrections
        The corrections.

    Raises
    ------
    InputError
        The corrections are of another image, or there are none and the classes are not known.
    OutputError
        They are being written elsewhere, or the folder is not writable.

    Examples
    --------
    >>> import numpy as np
    >>> import fctl_napari as fctl
    >>> scene = fctl.sample("data")
    >>> land = fctl.segment(scene, "earth", region=(500, 2700, 900, 3100))
    >>> block = np.full((20, 30), 3, np.uint8)  # 3 is class 2 of 0 to 4: rangeland
    >>> with fctl.corrections(land) as painted:
    ...     stroke = painted.write(800, 2800, block, author="ann")
    >>> stroke.window
    (800, 2800, 820, 2830)
    """
    found, known = image_and_map(image)
    if path is None and found.path is None:
        raise InputError(f"{found.name}: is an array, and has no folder to keep corrections in; name one with path.")
    where = (
        own_corrections(corrections_path(str(found.path), cache_folder), found.pyramid) if path is None else Path(path)
    )
    if not write:
        if path is None and not where.exists():
            raise InputError(f"{where}: there are no corrections yet; paint some first.")
        return Corrections.open(where, image=found.pyramid)
    own = isinstance(classes, ClassTable | str | Path)
    table = _table(classes or known)
    if table is None and where.exists():
        return Corrections.open(where, "r+", image=found.pyramid)
    if table is None:
        raise InputError(f"{where}: there are no corrections yet; say which classes they have with classes.")
    opened = Corrections.open_or_create(where, found.pyramid, table)
    try:
        if own and opened.blank:
            opened.set_own_classes(table)
        elif classes is not None:
            opened.add_classes(table)
    except BaseException:
        opened.close()
        raise
    return opened


def _table(classes: ClassTable | Checkpoint | Map | str | Path | None) -> ClassTable | None:
    """Return the class table of what was given."""
    if isinstance(classes, Map):
        return classes.source.class_table
    if isinstance(classes, Checkpoint):
        return classes.classes
    return class_table(str(classes)) if isinstance(classes, str | Path) else classes
