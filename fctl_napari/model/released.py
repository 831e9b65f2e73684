"""Import of the authors' three released files (the conference model, LCC) as one checkpoint (``lcc_released``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.checkpoint import check_path, save_checkpoint
from fctl_napari.model.classes import ClassTable, numbered_classes
from fctl_napari.model.encoders.weights import read_state
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import Card, checkpoint_hash
from fctl_napari.model.presets import preset

CONVS = {
    # index in torchvision's VGG16.features: channels in and out
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
    17: (256, 512), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512),
}  # fmt: skip
SLICES = {"pool3": range(17), "pool4": range(17, 24), "pool5": range(24, 30)}
"""Slices that hold the same convolutions again, renumbered from the start of each slice."""

ATTENTION = {"medium": "", "large": "_1", "local": "_2"}
"""Suffix of each context's layers, in the order of the fusion's ``in_1..3`` and ``out_1..3``."""

Shapes = dict[str, tuple[int, ...]]


def import_released(
    whole: Path | str, medium: Path | str, large: Path | str, out: Path | str, classes: ClassTable | None = None
) -> Path:
    """Write one checkpoint from the three released state dicts.

    Parameters
    ----------
    whole : Path or str
        File ``all.epoch.pth``: the tile's stream, attention, fusion and decoder.
    medium, large : Path or str
        Files ``B10.epoch.pth`` and ``B15.epoch.pth``: the contexts' encoders, inside whole networks or by themselves.
    out : Path or str
        Checkpoint to write (float32).
    classes : ClassTable or None, optional
        Class table; None for numbered classes. Their number is found in ``whole``.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        A file is missing, is not one of the three, holds other keys or shapes, or is given in place of another.
    OutputError
        The checkpoint cannot be written, or would replace something else.
    """
    check_path(out)
    files = {"tile": Path(whole), "medium": Path(medium), "large": Path(large)}
    states = {name: read_released(path) for name, path in files.items()}
    _check_order(files, states)
    count = _classes(files["tile"], states["tile"])
    _check_keys(files["tile"], states["tile"], count, required=_network_shapes(count), doubled="")
    for name in ("medium", "large"):
        _check_keys(files[name], states[name], _classes_or(states[name], count), required={}, doubled="big_")
    table = classes or numbered_classes(count)
    if len(table.scored) != count:
        raise CheckpointError(
            f"{files['tile']}: predicts {count} classes, the class table has {len(table.scored)}; choose another table."
        )
    config = preset("lcc_released", classes=count)
    with torch.device("meta"):
        model = FCtL(config)
    state = _network(states["tile"])
    for stream, given in states.items():
        prefix = "" if stream == "tile" else "big_"
        state |= {f"encoders.{stream}.layers.{key}": value for key, value in _vgg(given, prefix).items()}
    model.load_state_dict(state, assign=True)
    card = Card(
        name=Path(out).stem,
        description="The authors' released network (LCC: contexts x2 and x3, no GPE, no ALE).",
        config=config,
        classes=table,
        provenance={
            "released_files": {name: {"file": p.name, "sha256": checkpoint_hash(p)} for name, p in files.items()}
        },
    )
    return save_checkpoint(out, model, card, torch.float32)


def read_released(path: Path | str) -> dict[str, Tensor]:
    """Read a state dict without the ``module.`` that ``DataParallel`` puts in front of its keys.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    dict of str to Tensor
        Arrays by name.

    Raises
    ------
    CheckpointError
        The file is missing or cannot be read as weights.
    """
    return {key.removeprefix("module."): value for key, value in read_state(path).items()}


def released_kind(state: dict[str, Tensor]) -> Literal["tile", "context"] | None:
    """Recognize a released file by its keys.

    Parameters
    ----------
    state : dict of str to Tensor
        Arrays by name.

    Returns
    -------
    {"tile", "context"} or None
        ``"tile"`` for a file with a decoder, ``"context"`` for one with a second encoder, None for neither.
    """
    if any(key.startswith("big_pool") for key in state):
        return "context"
    return "tile" if "output.0.weight" in state else None


def _check_order(files: dict[str, Path], states: dict[str, dict[str, Tensor]]) -> None:
    """Refuse files in the wrong order.

    Both contexts' files hold the same keys, so only their names distinguish them.
    """
    kinds = {name: released_kind(state) for name, state in states.items()}
    order = "give ALL, MEDIUM and LARGE in this order (all, B10, B15)"
    if "tile" in (kinds["medium"], kinds["large"]) and kinds["tile"] != "tile":
        at = "medium" if kinds["medium"] == "tile" else "large"
        raise CheckpointError(f"{files[at]}: is the tile's file (ALL) and stands in {at.upper()}'s place; {order}.")
    for name in ("medium", "large"):
        if kinds[name] == "tile":
            raise CheckpointError(f"{files[name]}: holds no context's encoder (no big_pool*); {order}.")
    if "B15" in files["medium"].name and "B10" in files["large"].name:
        raise CheckpointError(f"{files['medium']}: is by its name the large context's file; {order}.")


def _classes(path: Path, state: dict[str, Tensor]) -> int:
    weight = state.get("output.6.weight")
    if weight is None or weight.ndim != 4:
        raise CheckpointError(f"{path}: has no output.6.weight, so it is not the released network's tile file (ALL).")
    return int(weight.shape[0])


def _classes_or(state: dict[str, Tensor], default: int) -> int:
    weight = state.get("output.6.weight")
    return int(weight.shape[0]) if weight is not None and weight.ndim == 4 else default


def _network_shapes(classes: int) -> Shapes:
    """List the arrays of the tile's file besides its encoder, with their shapes."""
    shapes: Shapes = {"big_attention.trans.weight": (1536, 1536, 1, 1), "big_attention.trans.bias": (1536,)}
    for i, suffix in enumerate(ATTENTION.values(), 1):
        shapes[f"big_attention.gamma{suffix}"] = (1,)
        shapes[f"big_attention.conv_value{suffix}.weight"] = (512, 512, 1, 1)
        for part in (f"conv_query{suffix}", f"conv_key{suffix}", f"in_{i}", f"out_{i}"):
            shapes[f"big_attention.{part}.weight"] = (512, 512, 1, 1)
            shapes[f"big_attention.{part}.bias"] = (512,)
    for name, (after, before, kernel) in {
        "adj_pool3": (classes, 256, 1),
        "adj_pool4": (classes, 512, 1),
        "output.0": (4096, 512, 7),
        "output.3": (4096, 4096, 1),
        "output.6": (classes, 4096, 1),
    }.items():
        shapes[f"{name}.weight"] = (after, before, kernel, kernel)
        shapes[f"{name}.bias"] = (after,)
    for name, kernel in {"up_output": 4, "up_pool4_out": 4, "up_final": 16}.items():
        shapes[f"{name}.weight"] = (classes, classes, kernel, kernel)
    return shapes


def _encoder_keys(prefix: str) -> dict[int, str]:
    """List the key (without ``.weight``) of each convolution in the slices ``pool3``, ``pool4`` and ``pool5``."""
    return {n: f"{prefix}{name}.{n - part.start}" for name, part in SLICES.items() for n in CONVS if n in part}


def _check_keys(path: Path, state: dict[str, Tensor], classes: int, *, required: Shapes, doubled: str) -> None:
    """Check that every key is known and of its shape, and that none of ``required`` or of ``doubled`` is missing.

    ``doubled`` is the prefix of an encoder's keys.
    """
    known = _network_shapes(classes)
    for prefix in ("", "big_"):
        for names in (_encoder_keys(prefix), {n: f"vgg.features.{n}" for n in CONVS}):
            for n, name in names.items():
                before, after = CONVS[n]
                known |= {f"{name}.weight": (after, before, 3, 3), f"{name}.bias": (after,)}
    missing = [key for key in required if key not in state]
    slices = _encoder_keys(doubled)
    for n in CONVS:
        for part in ("weight", "bias"):
            if f"{slices[n]}.{part}" not in state and f"vgg.features.{n}.{part}" not in state:
                missing.append(f"{slices[n]}.{part}")
    unknown = [key for key in state if key not in known and not key.startswith("vgg.classifier.")]
    wrong = [key for key in state if key in known and tuple(state[key].shape) != known[key]]
    for what, keys in (("lacks", missing), ("holds unknown", unknown), ("has other shapes for", wrong)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise CheckpointError(
                f"{path}: {what} {', '.join(keys[:3])}{more}, so it is not the released file for its place; check it."
            )


def _vgg(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Collect an encoder's arrays by ``N.weight``.

    The slices win where the copies disagree, as in the released code.
    """
    out = {}
    for n, name in _encoder_keys(prefix).items():
        for part in ("weight", "bias"):
            value = state.get(f"{name}.{part}")
            out[f"{n}.{part}"] = (state[f"vgg.features.{n}.{part}"] if value is None else value).float()
    return out


def _network(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename attention, fusion and decoder to our keys."""
    out: dict[str, Tensor] = {}
    for context, suffix in ATTENTION.items():
        ours = f"lcf.correlations.{context}"
        out[f"{ours}.gamma"] = state[f"big_attention.gamma{suffix}"].reshape(())
        for part in ("query", "key"):
            for kind in ("weight", "bias"):
                out[f"{ours}.{part}.{kind}"] = state[f"big_attention.conv_{part}{suffix}.{kind}"]
        out[f"{ours}.value.weight"] = state[f"big_attention.conv_value{suffix}.weight"]
    out["lcf.fusion.mix.weight"], out["lcf.fusion.mix.bias"] = _fold_fusion(state)
    layers = {
        "fc.0": "output.0",
        "fc.3": "output.3",
        "score.32": "output.6",
        "score.16": "adj_pool4",
        "score.8": "adj_pool3",
    }
    for ours, theirs in layers.items():
        for kind in ("weight", "bias"):
            out[f"decoder.{ours}.{kind}"] = state[f"{theirs}.{kind}"]
    for ours, theirs in {"32": "up_output", "16": "up_pool4_out", "8": "up_final"}.items():
        out[f"decoder.up.{ours}.weight"] = state[f"{theirs}.weight"]
    return {key: value.float() for key, value in out.items()}


def _fold_fusion(state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Fold ``in_1..3``, ``trans`` and ``out_1..3``, which are affine, into one 1x1 convolution.

    It is computed in float64 and has our order of contexts.
    """

    def layer(name: str) -> tuple[Tensor, Tensor]:
        weight = state[f"big_attention.{name}.weight"].double()[:, :, 0, 0]
        return weight, state[f"big_attention.{name}.bias"].double()

    inner = [layer(f"in_{i}") for i in (1, 2, 3)]
    outer = [layer(f"out_{i}") for i in (1, 2, 3)]
    trans, trans_bias = layer("trans")
    first, first_bias = _diagonal(inner), torch.cat([b for _, b in inner])
    last, last_bias = _diagonal(outer), torch.cat([b for _, b in outer])
    weight = last @ trans @ first
    bias = last @ (trans @ first_bias + trans_bias) + last_bias
    theirs = list(ATTENTION)
    order = torch.cat([torch.arange(512) + 512 * theirs.index(name) for name in ("local", "medium", "large")])
    return weight[order][:, order, None, None].contiguous(), bias[order].contiguous()


def _diagonal(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    blocks: Tensor = torch.block_diag(*(weight for weight, _ in layers))  # type: ignore[no-untyped-call]
    return blocks
