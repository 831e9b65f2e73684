"""Documents that transformers reads a SegFormer of ours from: ``config.json`` and ``preprocessor_config.json``."""

from __future__ import annotations

from typing import Any

from fctl_napari.model.bands import RGB
from fctl_napari.model.baselines.segformer import WIDTHS
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Encoder
from fctl_napari.model.encoders.mit import HEADS, MLP_RATIO, REDUCTIONS, VARIANTS
from fctl_napari.model.folders.segformer import ARCHITECTURE, MODEL_TYPE, PATCHES, STRIDES


def fits_transformers(config: FCtLConfig) -> bool:
    """Return whether transformers has the same network.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    bool
        True for a SegFormer that sees tiles of red, green and blue, as values of 8 bits.
    """
    plain = config.band_names == RGB and all(band.value_range is None for band in config.bands)
    return config.architecture == "segformer" and config.inference == "local" and plain


def segformer_config(config: FCtLConfig, classes: ClassTable) -> dict[str, Any]:
    """Make the ``config.json`` of a SegFormer.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    classes : ClassTable
        Its classes.

    Returns
    -------
    dict of str to object
        Fields of transformers, and the colors of the classes as ``palette``.
    """
    depths, widths = VARIANTS[config.encoder]
    return {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "num_channels": config.in_channels,
        "num_encoder_blocks": len(depths),
        "depths": list(depths),
        "hidden_sizes": list(widths),
        "num_attention_heads": list(HEADS),
        "sr_ratios": list(REDUCTIONS),
        "patch_sizes": list(PATCHES),
        "strides": list(STRIDES),
        "mlp_ratios": [MLP_RATIO] * len(depths),
        "hidden_act": "gelu",
        "decoder_hidden_size": WIDTHS[config.encoder],
        "image_size": config.tile_size,
        "id2label": {str(k): name for k, name in enumerate(classes.names)},
        "label2id": {name: k for k, name in enumerate(classes.names)},
        "palette": [list(info.color) for info in classes.scored],
        # Both names of one setting: weights that are stored in half precision are computed with in full, as here.
        "torch_dtype": "float32",
        "dtype": "float32",
    }


def preprocessor_config(config: FCtLConfig, encoder: Encoder) -> dict[str, Any]:
    """Make the ``preprocessor_config.json`` of a SegFormer.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    encoder : Encoder
        Its encoder, which knows mean and deviation of the input.

    Returns
    -------
    dict of str to object
        Fields of transformers.
    """
    return {
        "image_processor_type": "SegformerImageProcessor",
        "do_resize": True,
        "size": {"height": config.tile_size, "width": config.tile_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": not encoder.unit_input,
        "image_mean": [value / 255 for value in encoder.mean],
        "image_std": [value / 255 for value in encoder.std],
        "do_reduce_labels": False,
    }
