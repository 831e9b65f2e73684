"""Import of a network from elsewhere, by what the file or the folder is."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.exceptions import ConfigError
from fctl_napari.files import local_path
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.folders.files import require_folder
from fctl_napari.model.folders.read import import_folder
from fctl_napari.model.folders.read_smp import import_smp, is_smp_folder
from fctl_napari.model.free_path import check_free
from fctl_napari.model.onnx_files.read import import_onnx


def import_network(
    source: Path | str,
    out: Path | str,
    name: str | None = None,
    classes: ClassTable | None = None,
    tile_size: int | None = None,
    settings: Path | str | None = None,
) -> Path:
    """Write a checkpoint from a network that another package saved. No code of it is run, and nothing is fetched.

    Parameters
    ----------
    source : Path or str
        A folder that ``import_folder`` takes, or a folder or a state dict (``.pth``, ``.pt``, ``.ckpt``, ``.bin``,
        ``.safetensors``) of segmentation_models.pytorch, or an ONNX file (``.onnx``).
    out : Path or str
        Checkpoint to write, ``.safetensors``; a new file.
    name : str or None, optional
        Name of the network. None takes that of its card, or if there is none, of the checkpoint's file.
    classes : ClassTable or None, optional
        Classes of a network that states none. None numbers them.
    tile_size : int or None, optional
        Side of the tiles of a network that states none, px. None takes 512 px.
    settings : Path or str or None, optional
        Settings of an ONNX file (TOML), see ``import_onnx``.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        The source is missing, damaged, or holds a network without a counterpart here.
    ConfigError
        The classes do not fit the network, or it states its own classes or tile size.
    OutputError
        The checkpoint exists already or cannot be written.
    """
    source, out = Path(source), local_path(str(out))
    check_free(out)
    if source.suffix.lower() == ".onnx" and not source.is_dir():
        if classes is not None or tile_size is not None:
            raise ConfigError(f"{source}: an ONNX file takes --settings; state classes and tile_size there.")
        return import_onnx(source, out, settings=settings, name=name)
    if settings is not None:
        raise ConfigError("--settings: is for an ONNX file; leave it out, or give a file NET.onnx.")
    if source.is_file():
        return import_smp(source, out, name, classes, tile_size)
    require_folder(source)
    if is_smp_folder(source):
        return import_smp(source, out, name, classes, tile_size)
    if classes is not None or tile_size is not None:
        given = "--classes" if classes is not None else "--tile-size"
        raise ConfigError(f"{source}: the folder states its classes and its tile size; leave out {given}.")
    return import_folder(source, out, name)
