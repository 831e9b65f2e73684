"""SegFormers of the package transformers: their settings, classes and names of weights, and ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.model.architectures import EncoderName
from fctl_napari.model.baselines.segformer import WIDTHS
from fctl_napari.model.encoders.mit import HEADS, MLP_RATIO, REDUCTIONS, VARIANTS, MixTransformer, Variant
from fctl_napari.model.folders.files import CONFIG, PREPROCESSOR, read_document
from fctl_napari.model.folders.filled import renamed
from fctl_napari.model.folders.labels import labelled_classes
from fctl_napari.model.folders.preprocessor import normalization_of, read_preprocessor, tile_size_of
from fctl_napari.model.folders.stated import Stated
from fctl_napari.model.presets import preset

ARCHITECTURE = "SegformerForSemanticSegmentation"
MODEL_TYPE = "segformer"
PREFIXES = {"encoders.tile.": "segformer.encoder.", "decoder.": "decode_head."}
"""Beginnings of the names of weights: ours, and those of transformers."""

ELSEWHERE = {
    "B1": Variant((2, 2, 2, 2), (64, 128, 320, 512)),
    "B3": Variant((3, 4, 18, 3), (64, 128, 320, 512)),
    "B4": Variant((3, 8, 27, 3), (64, 128, 320, 512)),
}
"""Published variants without a counterpart here."""

PATCHES = (7, 3, 3, 3)
STRIDES = (4, 2, 2, 2)


class Settings(BaseModel):
    """Fields of a SegFormer's ``config.json`` that count here, with the defaults of transformers.

    Attributes
    ----------
    architectures : tuple of str or None
        Names of classes of transformers.
    model_type : str
        ``"segformer"``.
    num_channels : int
        Bands of the input.
    depths, hidden_sizes, num_attention_heads, sr_ratios, patch_sizes, strides : tuple of int
        Layers, channels, heads, reductions, kernel sizes and strides of the stages.
    mlp_ratios : tuple of float
        Channels inside the Mix-FFN over those of its stage.
    hidden_act : str
        Activation of the Mix-FFN.
    decoder_hidden_size : int
        Channels of the decoder.
    id2label : dict of int to str or None
        Names of the classes.
    num_labels : int or None
        Number of classes, where they have no names.
    image_size : int, tuple of int or None
        Side or sides of the input, px.
    palette : object
        Colors of the classes, if the folder states some.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True, protected_namespaces=())

    architectures: tuple[str, ...] | None = None
    model_type: str = ""
    num_channels: int = 3
    depths: tuple[int, ...] = (2, 2, 2, 2)
    hidden_sizes: tuple[int, ...] = (32, 64, 160, 256)
    num_attention_heads: tuple[int, ...] = HEADS
    sr_ratios: tuple[int, ...] = REDUCTIONS
    patch_sizes: tuple[int, ...] = PATCHES
    strides: tuple[int, ...] = STRIDES
    mlp_ratios: tuple[float, ...] = (MLP_RATIO,) * 4
    hidden_act: str = "gelu"
    decoder_hidden_size: int = 256
    id2label: dict[int, str] | None = None
    num_labels: int | None = None
    image_size: int | tuple[int, ...] | None = None
    palette: Any = None


def read_segformer(folder: Path) -> Stated:
    """Read the settings of a SegFormer's folder.

    Parameters
    ----------
    folder : Path
        The folder, with a ``config.json``.

    Returns
    -------
    Stated
        The network.

    Raises
    ------
    CheckpointError
        A document is damaged, or the network has no counterpart here.
    """
    path = folder / CONFIG
    document = read_document(path)
    stated = document.get("architectures")
    named = [str(name) for name in stated] if isinstance(stated, list) else []
    if document.get("model_type") != MODEL_TYPE or (named and ARCHITECTURE not in named):
        kind = ", ".join(named) or document.get("model_type")
        raise CheckpointError(
            f"{path}: is of {kind or 'no named architecture'}; only networks of {ARCHITECTURE} and "
            "UperNetForSemanticSegmentation, and folders of `fctl model folder`, can be imported."
        )
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {fault_of(error)}.") from error
    encoder = _encoder(path, settings)
    classes = labelled_classes(path, settings.id2label, settings.num_labels, settings.palette)
    pre_path = folder / PREPROCESSOR
    pre = read_preprocessor(folder)
    size_path, size = (pre_path, pre.size) if pre.size else (path, settings.image_size)
    config = preset(
        f"segformer_{encoder.removeprefix('mit_')}",
        classes=len(classes),
        tile_size=tile_size_of(size_path, size, MixTransformer.multiple_of),
        **normalization_of(pre_path, pre),
    )
    return Stated(config, classes, f"SegFormer-{encoder.removeprefix('mit_').upper()}")


def our_name(name: str) -> str:
    """Rename a weight of transformers.

    Parameters
    ----------
    name : str
        Their name.

    Returns
    -------
    str
        Our name; the same name if it is none of a SegFormer.
    """
    return renamed(name, {theirs: ours for ours, theirs in PREFIXES.items()})


def their_name(name: str) -> str:
    """Rename a weight of our SegFormer.

    Parameters
    ----------
    name : str
        Our name.

    Returns
    -------
    str
        The name in transformers.
    """
    return renamed(name, PREFIXES)


def _encoder(path: Path, settings: Settings) -> EncoderName:
    """Find our encoder of the same layers."""
    variant = (settings.depths, settings.hidden_sizes)
    encoder = next((name for name in WIDTHS if VARIANTS[name] == variant), None)
    if encoder is None:
        known = next((name for name, other in ELSEWHERE.items() if other == variant), None)
        depths, widths = (", ".join(map(str, values)) for values in variant)
        raise CheckpointError(
            f"{path}: is a SegFormer{f'-{known}' if known else ''} of depths {depths} and widths {widths}; only those "
            "of B0, B2 and B5 can be imported."
        )
    expected: dict[str, Any] = {
        "num_channels": 3,
        "num_attention_heads": HEADS,
        "sr_ratios": REDUCTIONS,
        "patch_sizes": PATCHES,
        "strides": STRIDES,
        "mlp_ratios": (MLP_RATIO,) * 4,
        "hidden_act": "gelu",
        "decoder_hidden_size": WIDTHS[encoder],
    }
    for key, value in expected.items():
        if getattr(settings, key) != value:
            raise CheckpointError(
                f"{path}: {key} is {getattr(settings, key)}; a SegFormer of these depths can be imported only with "
                f"{value}."
            )
    return encoder
