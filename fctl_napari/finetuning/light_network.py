"""Networks with a light decoder from full ones, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.decoder import FCN8sDecoder
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.light_decoder import NEVER, LightDecoder
from fctl_napari.model.network import Network

UNSEEN = -10.0
"""Score with which a class starts that the head never predicts. It can be learned, other than ``NEVER``."""


def light_network(parent: Network, classes: int, decoder: str = "linear", *, contexts: bool = True) -> FCtL:
    """Make a network with a light decoder on the encoders and the fusion of another.

    Parameters
    ----------
    parent : Network
        The other network.
    classes : int
        Number of classes.
    decoder : {"linear", "mlp"}, optional
        The decoder.
    contexts : bool, optional
        If False, only the tile's encoder is taken.

    Returns
    -------
    FCtL
        The network in evaluation mode. Its decoder's weights are random.

    Raises
    ------
    ConfigError
        The other network is no FCtL.
    """
    architecture = parent.config.architecture
    if not isinstance(parent, FCtL):
        raise ConfigError(
            f"a light head stands on FCtL's encoders, and this network is {parent.config.title}; "
            + ("wrap it first (fctl model wrap)." if architecture == "segformer" else "take another checkpoint.")
        )
    changes: dict[str, Any] = {"classes": classes, "decoder": decoder, "fc_channels": None}
    if not contexts:
        changes |= {"contexts": (), "ale": "none"}
    model = make_network(parent.config.model_copy(update=changes))
    assert isinstance(model, FCtL)
    own = model.state_dict()
    state = {key: value for key, value in parent.state_dict().items() if not key.startswith("decoder.") and key in own}
    model.load_state_dict(state, strict=False)
    return model.eval()


def full_network(head: FCtL) -> FCtL:
    """Make an FCtL of a light head, with the same encoders, LCF and ALE.

    The decoder of FCN-8s sums scores of the tile's maps too. It starts with those of a linear head; what the head takes
    from the contexts beside LCF has no counterpart, and is left to be learned. After a hidden layer there is none
    either, and the decoder starts as an untrained one.

    Parameters
    ----------
    head : FCtL
        Network with a light decoder.

    Returns
    -------
    FCtL
        The network in evaluation mode.
    """
    model = make_network(head.config.model_copy(update={"decoder": "fcn8s"}))
    assert isinstance(model, FCtL)
    state = {key: value for key, value in head.state_dict().items() if not key.startswith("decoder.")}
    model.load_state_dict(state, strict=False)
    light, decoder = head.decoder, model.decoder
    assert isinstance(light, LightDecoder)
    assert isinstance(decoder, FCN8sDecoder)
    if head.config.decoder == "linear":
        _start(decoder, light)
    return model.eval()


@torch.no_grad()
def _start(decoder: FCN8sDecoder, light: LightDecoder) -> None:
    """Copy the scores of the tile's maps, and center the contexts' away."""
    for stride in decoder.grids:
        score, project = decoder.score[str(stride)], light.project[str(stride)]
        assert isinstance(score, nn.Conv2d)
        assert isinstance(project, nn.Conv2d)
        assert score.bias is not None
        assert project.bias is not None
        score.weight.copy_(project.weight / decoder.skip_scales.get(stride, 1.0))
        score.bias.copy_(torch.where(project.bias < NEVER / 2, UNSEEN, project.bias))
