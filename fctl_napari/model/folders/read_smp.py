"""Import of a network of the package segmentation_models.pytorch as a checkpoint of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fctl_napari.class_colors import new_colors
from fctl_napari.exceptions import CheckpointError, ConfigError, fault_of
from fctl_napari.model.checkpoint import save_new_checkpoint, stored_dtype
from fctl_napari.model.classes import ClassTable, numbered_classes
from fctl_napari.model.encoders.weights import read_state
from fctl_napari.model.folders.files import CONFIG, license_of, read_document, read_weights, weight_hashes
from fctl_napari.model.folders.filled import filled_network
from fctl_napari.model.folders.preprocessor import DEFAULT_TILE, normalization_fields
from fctl_napari.model.folders.smp import KIND, Found, check_settings, find_network, our_state, their_name
from fctl_napari.model.model_card import Card, checkpoint_hash
from fctl_napari.model.presets import preset
from fctl_napari.words import count_of

TRANSFORMS = "albumentations_config_eval.json"
"""File beside ``config.json`` that may state the normalization."""


def is_smp_folder(folder: Path) -> bool:
    """Return whether a folder is one that segmentation_models.pytorch saved.

    Parameters
    ----------
    folder : Path
        A folder with a ``config.json``.

    Returns
    -------
    bool
        True if its ``config.json`` has a field that only that package writes.
    """
    return KIND in read_document(folder / CONFIG)


def import_smp(
    source: Path, out: Path, name: str | None = None, classes: ClassTable | None = None, tile_size: int | None = None
) -> Path:
    """Write a checkpoint from a network of segmentation_models.pytorch.

    Parameters
    ----------
    source : Path
        A folder that it saved, or a file of a state dict, of which only tensors are read.
    out : Path
        Checkpoint to write.
    name : str or None, optional
        Name of the network. None takes that of the checkpoint's file.
    classes : ClassTable or None, optional
        Its classes. None numbers them.
    tile_size : int or None, optional
        Side of the tiles, px. None takes 512 px.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        The weights are damaged, or of a network that has no counterpart here.
    ConfigError
        The classes are not as many as the network's, or the tile size cannot be.
    OutputError
        The checkpoint cannot be written.
    """
    folder = source.is_dir()
    if folder:
        check_settings(source / CONFIG, read_document(source / CONFIG))
    found = find_network(source, read_weights(source) if folder else read_state(source))
    table = _classes(source, found, classes)
    config = preset(
        found.structure.architecture,
        encoder=found.encoder,
        classes=len(table.scored),
        tile_size=tile_size or DEFAULT_TILE,
        **(_normalization(source / TRANSFORMS) if folder else {}),
    )
    title = f"{found.title} of segmentation_models.pytorch"
    state = our_state(found.state)
    fault = f"it is no {title} with that package's default settings; others cannot be imported"
    model = filled_network(source, config, state, their_name, fault)
    license_name = (license_of(source) if folder else "") or "not stated"
    origin = {
        "folder": source.resolve().name,
        "files": weight_hashes(source) if folder else {source.name: checkpoint_hash(source)},
        "license": license_name,
    }
    card = Card(
        name=name or out.stem,
        description=f"{title} from {origin['folder']} (license: {license_name}).",
        config=config,
        classes=table,
        provenance={"imported": origin},
    )
    return save_new_checkpoint(out, model, card, stored_dtype(state))


def _classes(source: Path, found: Found, given: ClassTable | None) -> ClassTable:
    """Make the class table, with a background before the class of a network of one score."""
    binary = found.outputs == 1
    if given is None:
        return _background_and("class 1") if binary else numbered_classes(found.outputs)
    if binary and len(given.scored) == 1:
        return _background_and(given.names[0], given.colors[0])
    count = 2 if binary else found.outputs
    if len(given.scored) != count:
        wanted = "1 class, or the background and 1 class" if binary else count_of(count, "class")
        raise ConfigError(f"{source}: the network has {wanted}, --classes {len(given.scored)}; give as many.")
    return given


def _background_and(name: str, color: tuple[int, int, int] | None = None) -> ClassTable:
    names = ["background", name]
    colors = new_colors(names)
    rows = [{"name": one, "color": own} for one, own in zip(names, (colors[0], color or colors[1]), strict=True)]
    return ClassTable.model_validate({"classes": rows})


class _Normalize(BaseModel):
    """Albumentations' transform of that name."""

    model_config = ConfigDict(extra="ignore")

    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[float] = Field(min_length=3, max_length=3)
    max_pixel_value: float = Field(default=255.0, gt=0)
    normalization: str = "standard"


def _normalization(path: Path) -> dict[str, Any]:
    """Return the fields of our settings that normalize as a file of transforms says, none without it."""
    if not path.is_file():
        return {}
    stated = [
        one for one in _transforms(read_document(path)) if str(one.get("__class_fullname__")).endswith("Normalize")
    ]
    if len(stated) != 1:
        raise CheckpointError(
            f"{path}: states {count_of(len(stated), 'normalization')}; state one, or remove the file for ImageNet's."
        )
    try:
        normalize = _Normalize.model_validate(stated[0])
    except ValidationError as error:
        raise CheckpointError(f"{path}: {fault_of(error)}.") from error
    if normalize.normalization != "standard":
        raise CheckpointError(
            f"{path}: normalization is {normalize.normalization}; only standard (mean and deviation) can be imported."
        )
    if min(normalize.std) <= 0:
        raise CheckpointError(f"{path}: std has values that are not above 0; mend it.")
    mean, std = ([value * normalize.max_pixel_value for value in values] for values in (normalize.mean, normalize.std))
    return normalization_fields(mean, std)


def _transforms(value: Any) -> Iterator[dict[str, Any]]:
    """Find all transforms in a document, however nested."""
    if isinstance(value, dict):
        if "__class_fullname__" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _transforms(one)
