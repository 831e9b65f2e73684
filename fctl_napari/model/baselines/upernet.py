"""UperNet (Xiao et al., 2018) as the package transformers has it, whose own code computes it."""

from __future__ import annotations

import json
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from fctl_napari.exceptions import CheckpointError, ConfigError, reason_of
from fctl_napari.model.baselines.base import Baseline, Decoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Encoder, Features

STAGES = ("stage1", "stage2", "stage3", "stage4")
"""Stages whose features the decoder takes."""
PATCH = 4
"""Stride of the first of them, px."""
HEAD = ("hidden_size", "pool_scales")
"""Fields of ``config.json`` that the decoder is built from."""
DERIVED = ("relative_position_index", "relative_coords_table")
"""Buffers that follow from the settings, which only some versions of transformers store."""


class Backbone(NamedTuple):
    """A kind of backbone.

    Attributes
    ----------
    config : str
        Name of the class of its settings in transformers.
    fields : tuple of str
        Fields that it is built from. All others are left out, since some name files and code elsewhere.
    """

    config: str
    fields: tuple[str, ...]


_CONVNEXT = ("num_stages", "hidden_sizes", "depths", "hidden_act", "layer_norm_eps", "drop_path_rate", "patch_size")
_SWIN = (
    *("image_size", "patch_size", "embed_dim", "depths", "num_heads", "window_size", "mlp_ratio", "qkv_bias"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate", "hidden_act"),
    *("use_absolute_embeddings", "layer_norm_eps"),
)
BACKBONES = {
    "convnext": Backbone("ConvNextConfig", (*_CONVNEXT, "layer_scale_init_value")),
    "convnextv2": Backbone("ConvNextV2Config", _CONVNEXT),
    "swin": Backbone("SwinConfig", _SWIN),
    "swinv2": Backbone("Swinv2Config", (*_SWIN, "pretrained_window_sizes")),
    "resnet": Backbone(
        "ResNetConfig",
        (
            *("embedding_size", "hidden_sizes", "depths", "layer_type", "hidden_act"),
            *("downsample_in_first_stage", "downsample_in_bottleneck"),
        ),
    ),
}
"""Backbones by their ``model_type``."""


class TheirEncoder(Encoder):
    """Backbone of transformers.

    Parameters
    ----------
    backbone : nn.Module
        Its module.
    """

    first_weight: ClassVar[str] = "backbone"

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        widths: list[int] = list(backbone.channels)  # type: ignore[arg-type]
        self.channels = {PATCH * 2**number: width for number, width in enumerate(widths)}

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the backbone.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.
        last_stride : int
            Coarsest stride that is given; all are computed.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """
        maps = self.backbone(images).feature_maps
        return {stride: x for stride, x in zip(self.channels, maps, strict=True) if stride <= last_stride}

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take the arrays of a whole UperNet, whose names are this module's.

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            The arrays of the backbone.
        """
        return {key: value for key, value in state.items() if key.startswith("backbone.")}


class UperNetDecoder(Decoder):
    """Decoder of transformers: a pyramid of pooled features and of the stages, scored at stride 4.

    Parameters
    ----------
    head : nn.Module
        Its module.
    """

    strides: ClassVar[tuple[int, ...]] = tuple(PATCH * 2**number for number in range(len(STAGES)))

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Features) -> Tensor:
        """Score the cells at stride 4.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 4, 8, 16 and 32.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores at stride 4.
        """
        scores: Tensor = self.head([features[stride] for stride in self.strides])
        return scores


class UperNet(Baseline):
    """UperNet of transformers.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    """

    def __init__(self, config: FCtLConfig) -> None:
        theirs = build_theirs(config)
        encoder = TheirEncoder(theirs.get_submodule("backbone"))
        encoder.grid(config.tile_size, encoder.multiple_of)  # refuses tiles of other sizes
        super().__init__(config, encoder, UperNetDecoder(theirs.get_submodule("decode_head")))

    @property
    def input_weights(self) -> tuple[str, ...]:
        """Name of the weight of the convolution that takes pixels, [O, C, k, k]."""
        weights = self.encoders.named_parameters(prefix="encoders")
        return (next(name for name, weight in weights if weight.ndim == 4),)


def kept_settings(document: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a ``config.json`` that the network is built from.

    Parameters
    ----------
    document : dict of str to object
        Its content.

    Returns
    -------
    dict of str to object
        Those fields, and those of the backbone under ``backbone_config``.

    Raises
    ------
    ConfigError
        The backbone is none of ``BACKBONES``, or gives other features than ``STAGES`` at strides 4 to 32.
    """
    backbone = document.get("backbone_config")
    kind = backbone.get("model_type") if isinstance(backbone, dict) else None
    if kind not in BACKBONES or not isinstance(backbone, dict):
        raise ConfigError(f"the backbone is {kind or 'not stated'}; only {', '.join(BACKBONES)} can be run.")
    if tuple(backbone.get("out_features") or ()) != STAGES or backbone.get("patch_size", PATCH) != PATCH:
        raise ConfigError(
            f"the backbone's features are {backbone.get('out_features')} of patches of "
            f"{backbone.get('patch_size', PATCH)} px; only {', '.join(STAGES)} of {PATCH} px can be run."
        )
    kept = {key: backbone[key] for key in BACKBONES[kind].fields if key in backbone}
    kept |= {"model_type": kind, "out_features": list(STAGES)}
    return {key: document[key] for key in HEAD if key in document} | {"backbone_config": kept}


def build_theirs(config: FCtLConfig) -> nn.Module:
    """Build the network of transformers with random weights. Nothing is fetched.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network, of which ``transformers`` is checked again, since a checkpoint may be a stranger's.

    Returns
    -------
    nn.Module
        ``UperNetForSemanticSegmentation`` without an auxiliary head.

    Raises
    ------
    CheckpointError
        The package transformers is not installed.
    ConfigError
        Its settings cannot be built.
    """
    settings = kept_settings(json.loads(config.transformers))
    try:
        import transformers
    except ImportError:
        raise CheckpointError(
            "UperNet runs through the package transformers, which is not installed; pip install "
            "'fctl-napari[transformers]'."
        ) from None
    fields = settings.pop("backbone_config")
    make_backbone = getattr(transformers, BACKBONES[fields.pop("model_type")].config)
    try:
        backbone = make_backbone(num_channels=config.in_channels, **fields)
        stated = transformers.UperNetConfig(
            backbone_config=backbone,
            id2label={k: str(k) for k in range(config.classes)},
            use_auxiliary_head=False,
            **settings,
        )
        theirs: nn.Module = transformers.UperNetForSemanticSegmentation(stated)
    except Exception as error:  # it raises whatever its parts do on settings that cannot be
        raise ConfigError(f"network settings: transformers cannot build it ({reason_of(error)}).") from error
    for module in theirs.modules():
        for name, values in list(module.named_buffers(recurse=False)):
            if name in DERIVED:
                module.register_buffer(name, values, persistent=False)
    return theirs
