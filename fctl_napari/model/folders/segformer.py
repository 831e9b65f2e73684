"""SegFormers of the package transformers: their settings, classes and names of weights, and ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fctl_napari.class_colors import new_colors
from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.model.baselines.segformer import WIDTHS
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import RGB, EncoderName, FCtLConfig
from fctl_napari.model.encoders.base import IMAGENET_MEAN, IMAGENET_STD
from fctl_napari.model.encoders.mit import HEADS, MLP_RATIO, REDUCTIONS, VARIANTS, MixTransformer, Variant
from fctl_napari.model.folders.files import CONFIG, PREPROCESSOR, read_document
from fctl_napari.model.presets import preset
from fctl_napari.words import count_of

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
DEFAULT_TILE = 512
LARGEST_TILE = 4096

_Positive = Annotated[float, Field(gt=0)]
_Colors = TypeAdapter(list[tuple[Annotated[int, Field(ge=0, le=255)], ...]])


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


class Preprocessor(BaseModel):
    """Fields of ``preprocessor_config.json`` that count here, with the defaults of transformers.

    Attributes
    ----------
    do_rescale, do_normalize : bool
        If True, values are multiplied by ``rescale_factor``, then normalized by mean and standard deviation.
    rescale_factor : float
        Factor.
    image_mean, image_std : tuple of float
        Mean and standard deviation of each band.
    size : int, tuple of int, dict of str to int or None
        Side or sides of the input, px.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False)

    do_rescale: bool = True
    rescale_factor: _Positive = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[float, ...] = tuple(value / 255 for value in IMAGENET_MEAN)
    image_std: tuple[_Positive, ...] = tuple(value / 255 for value in IMAGENET_STD)
    size: int | tuple[int, ...] | dict[str, int | None] | None = None


class Stated(NamedTuple):
    """Network that a folder states.

    Attributes
    ----------
    config : FCtLConfig
        Our settings.
    classes : ClassTable
        Its classes.
    title : str
        Name for people: ``"SegFormer-B0"``.
    """

    config: FCtLConfig
    classes: ClassTable
    title: str


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
            f"{path}: is of {kind or 'no named architecture'}; only networks of {ARCHITECTURE}, and folders of "
            "`fctl model folder`, can be imported."
        )
    settings = _checked(Settings, path, document)
    encoder = _encoder(path, settings)
    classes = _classes(path, settings)
    pre_path = folder / PREPROCESSOR
    pre = _checked(Preprocessor, pre_path, read_document(pre_path)) if pre_path.is_file() else Preprocessor()
    config = preset(
        f"segformer_{encoder.removeprefix('mit_')}",
        classes=len(classes),
        tile_size=_tile_size(*((pre_path, pre.size) if pre.size else (path, settings.image_size))),
        **_normalization(pre_path, pre),
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
    return _renamed(name, {theirs: ours for ours, theirs in PREFIXES.items()})


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
    return _renamed(name, PREFIXES)


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    for before, after in prefixes.items():
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name


def _checked(kind: type[Any], path: Path, document: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {fault_of(error)}.") from error


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


def _classes(path: Path, settings: Settings) -> ClassTable:
    """Make the class table, in which names that stand twice get their index."""
    labels = settings.id2label or {k: f"LABEL_{k}" for k in range(settings.num_labels or 2)}
    if sorted(labels) != list(range(len(labels))):
        raise CheckpointError(f"{path}: id2label does not number the classes 0, 1, 2, ...; mend it.")
    if not 2 <= len(labels) <= 250:
        raise CheckpointError(f"{path}: has {count_of(len(labels), 'class')}; networks of 2 to 250 can be imported.")
    given = [labels[k].strip() or f"class {k}" for k in range(len(labels))]
    names = [f"{name} ({k})" if given.count(name) > 1 else name for k, name in enumerate(given)]
    colors = _palette(settings.palette, len(names)) or new_colors(names)
    rows = [{"name": name, "color": color} for name, color in zip(names, colors, strict=True)]
    try:
        return ClassTable.model_validate({"classes": rows})
    except ValidationError as error:
        raise CheckpointError(f"{path}: id2label: {fault_of(error)}.") from error


def _palette(stated: Any, count: int) -> list[tuple[int, ...]] | None:
    """Return a color for each class, or None if the folder states no such list."""
    try:
        colors = _Colors.validate_python(stated)
    except ValidationError:
        return None
    return colors if len(colors) == count and all(len(color) == 3 for color in colors) else None


def _tile_size(path: Path, stated: int | tuple[int, ...] | dict[str, int | None] | None) -> int:
    """Return the multiple of what the encoder takes that is nearest to the shorter side that a document states."""
    sides = list(stated.values()) if isinstance(stated, dict) else stated if isinstance(stated, tuple) else [stated]
    side = min((side for side in sides if side), default=DEFAULT_TILE)
    step = MixTransformer.multiple_of
    if not step <= side <= LARGEST_TILE:
        raise CheckpointError(f"{path}: states tiles of {side} px; state a size of {step} to {LARGEST_TILE}.")
    return round(side / step) * step


def _normalization(path: Path, pre: Preprocessor) -> dict[str, Any]:
    """Return the fields of our settings that normalize as the folder says, for values of 0..255."""
    factor = pre.rescale_factor if pre.do_rescale else 1.0
    mean = [value / factor for value in (pre.image_mean if pre.do_normalize else (0.0, 0.0, 0.0))]
    std = [value / factor for value in (pre.image_std if pre.do_normalize else (1.0, 1.0, 1.0))]
    if len(mean) != 3 or len(std) != 3:
        raise CheckpointError(
            f"{path}: image_mean and image_std have {len(mean)} and {len(std)} values; the network has 3 bands."
        )
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise CheckpointError(f"{path}: rescale_factor {factor:g} leaves no usable mean and deviation; mend it.")
    if _near(mean, IMAGENET_MEAN) and _near(std, IMAGENET_STD):
        return {}
    if _near(mean, (0.0,) * 3) and _near(std, (255.0,) * 3):
        return {"normalization": "unit"}
    return {"bands": [{"name": name, "mean": m, "std": s} for name, m, s in zip(RGB, mean, std, strict=True)]}


def _near(values: list[float], others: tuple[float, ...]) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(values, others, strict=True))
