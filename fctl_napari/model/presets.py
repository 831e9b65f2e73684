"""Presets of networks by name: the paper's, the baselines of its Table 1, and refinements (no torch)."""

from __future__ import annotations

from typing import Any

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.architectures import ENCODERS, ArchitectureName, EncoderName
from fctl_napari.model.config import GLOBAL_VIEW, Context, FCtLConfig, make_config


def _baseline(architecture: ArchitectureName, encoder: EncoderName | None = None) -> dict[str, Any]:
    """Make the fields of a baseline: 512 px tiles, and its own encoder unless one is named."""
    return {
        "architecture": architecture,
        "encoder": encoder or ENCODERS[architecture][0],
        "tile_size": 512,
        "contexts": (),
        "lcf": False,
        "ale": "none",
    }


PRESETS: dict[str, dict[str, Any]] = {
    "fctl_vgg16": {"encoder": "vgg16", "tile_size": 508, "fc_channels": 4096},
    "fctl_mit_b0": {"encoder": "mit_b0", "tile_size": 512},
    "fctl_mit_b2": {"encoder": "mit_b2", "tile_size": 512},
    "fctl_mit_b5": {"encoder": "mit_b5", "tile_size": 512},
    "fctl_lite": {
        "encoder": "efficientnet_lite0",
        "tile_size": 256,
        "correlation_stride": 16,
        "scale_logits": True,
        "gate_init": 1.0,
    },
    "lcc_released": {
        "encoder": "vgg16",
        "tile_size": 508,
        "contexts": (Context(name="local"), Context(name="medium", scale=2.0), Context(name="large", scale=3.0)),
        "gpe": False,
        "ale": "none",
        "fusion": "released",
        "fc_channels": 4096,
        "normalization": "unit",
    },
    "fcn8s": {"contexts": (), "ale": "none", "fc_channels": 4096},
    "segnet": _baseline("segnet"),
    "unet": _baseline("unet"),
    "pspnet": _baseline("pspnet"),
    "deeplabv3plus": _baseline("deeplabv3plus"),
    "icnet": _baseline("icnet"),
    "segformer_b0": _baseline("segformer", "mit_b0"),
    "segformer_b2": _baseline("segformer", "mit_b2"),
    "segformer_b5": _baseline("segformer", "mit_b5"),
    "glnet": _baseline("glnet") | {"contexts": (GLOBAL_VIEW,)},
    "glnet_both": _baseline("glnet") | {"contexts": (GLOBAL_VIEW,), "sharing": "both"},
    "unet_resnet": _baseline("unet_resnet"),
    "fpn": _baseline("fpn"),
    "deeplabv3plus_separable": _baseline("deeplabv3plus_separable"),
    "refiner": _baseline("refiner") | {"tile_size": 256},
    "cascadepsp": _baseline("cascadepsp") | {"contexts": (GLOBAL_VIEW,), "tile_size": 900},
}
"""Named starting points; see ``preset``."""


def preset(name: str, **overrides: Any) -> FCtLConfig:
    """Build the settings of a named preset, with some fields replaced.

    ``fcn8s`` is the baseline without contexts. It takes any ``encoder`` (and a ``tile_size`` that fits it).

    Parameters
    ----------
    name : str
        Key of ``PRESETS``.
    **overrides : object
        Fields of ``FCtLConfig`` to replace.

    Returns
    -------
    FCtLConfig
        The settings.

    Raises
    ------
    ConfigError
        There is no such preset, or the fields do not fit.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    fields = dict(PRESETS[name])
    if name == "fcn8s" and overrides.get("encoder", "vgg16") != "vgg16":
        fields |= {"tile_size": 512, "fc_channels": None}
    return make_config(**(fields | overrides))
