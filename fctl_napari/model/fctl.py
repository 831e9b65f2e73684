"""FCtL, the multi-stream network (Fig. 4)."""

from __future__ import annotations

import warnings

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.ale import ALE
from fctl_napari.model.baselines.base import resize
from fctl_napari.model.baselines.segformer import WIDTHS, SegFormerDecoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.decoder import FCN8sDecoder
from fctl_napari.model.encoders import Encoder, Features, make_encoder
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.lcf import LCF
from fctl_napari.model.light_decoder import HIDDEN, LightDecoder
from fctl_napari.model.network import Network

Decoder = FCN8sDecoder | SegFormerDecoder | LightDecoder


class Neck(nn.Module):
    """Features X of one stream: the correlation stage's, widened by a 1x1 convolution and joined by the last stage's.

    Parameters
    ----------
    encoder : Encoder
        Encoder that gives the channels.
    config : FCtLConfig
        Settings of the network: ``correlation_stride``, ``width`` and ``top_down`` count.
    """

    def __init__(self, encoder: Encoder, config: FCtLConfig) -> None:
        super().__init__()
        self.stride = config.correlation_stride
        width = config.width
        self.lateral: nn.Module = nn.Conv2d(encoder.channels[self.stride], width, 1) if width else nn.Identity()
        self.top: nn.Module | None = nn.Conv2d(encoder.channels[32], width, 1) if width and config.top_down else None

    @property
    def last_stride(self) -> int:
        """Stride up to which the encoder has to run for X."""
        return 32 if self.top is not None else self.stride

    def forward(self, features: Features) -> Tensor:
        """Compute X from an encoder's features.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] by stride.

        Returns
        -------
        Tensor of float [B, C, h, w]
            X, at the correlation stride.
        """
        x: Tensor = self.lateral(features[self.stride])
        if self.top is not None:
            top = F.interpolate(self.top(features[32]), scale_factor=32 // self.stride, mode="bilinear")
            x = x + top[:, :, : x.shape[-2], : x.shape[-1]]
        return x


class FCtL(Network):
    """Locality-aware context fusion and alternating local enhancement over an encoder-decoder.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network; see ``FCtLConfig``.

    Raises
    ------
    ConfigError
        The tile size does not fit the encoder, or the encoder has no features at ``finest_skip``.
    """

    def __init__(self, config: FCtLConfig) -> None:
        super().__init__(config)
        if config.contexts:
            names = ("tile", *(c.name for c in config.outer_contexts))
            shared = {"none": {}, "contexts": dict.fromkeys(names[1:], "context"), "all": dict.fromkeys(names, "tile")}
            self._stream = {name: shared[config.share_encoders].get(name, name) for name in names}
        if "local" in self._stream:
            self._stream["local"] = "tile"
        streams = dict.fromkeys(self._stream.values())
        self.encoders = nn.ModuleDict({stream: make_encoder(config.encoder, config.in_channels) for stream in streams})
        for name in self._stream:
            self.encoder(name).normalize_as(config)
        encoder = self.encoder("tile")
        self.grid = encoder.grid(config.tile_size, config.correlation_stride)
        self.necks = nn.ModuleDict({stream: Neck(encoder, config) for stream in streams})
        for neck in self.necks.values():
            # every stream starts with the same weights, in the same space of features
            neck.load_state_dict(self.necks[self._stream["tile"]].state_dict())
        channels = dict(encoder.channels)
        width = config.width or channels[config.correlation_stride]
        channels[config.correlation_stride] = width
        contexts = tuple(c.name for c in config.contexts)
        self.lcf = (
            LCF(
                width,
                contexts,
                projections=config.projections,
                scale_logits=config.scale_logits,
                values_from=config.values_from,
                gate_init=config.gate_init,
                gpe=config.gpe,
                gpe_unit=config.gpe_unit,
                fusion=config.fusion,
            )
            if contexts and config.lcf
            else None
        )
        self.ale = (
            ALE(width, config.ale, config.ale_reference, config.ale_windows, config.ale_tokenise_target)
            if config.ale != "none"
            else None
        )
        self.decoder = self._decoder(encoder, channels, width)
        self.strides = self.decoder.strides
        too_wide = [w for w in config.ale_windows if w > self.grid.size]
        if self.ale is not None and config.ale != "concat" and too_wide:
            warnings.warn(
                f"ALE's windows {too_wide} exceed the {self.grid.size} x {self.grid.size} feature grid; use a finer "
                "correlation_stride, a larger tile_size or smaller ale_windows.",
                stacklevel=2,
            )

    def _decoder(self, encoder: Encoder, channels: dict[int, int], width: int) -> Decoder:
        """Make the decoder, given the channels of the tile's maps and those of X."""
        config = self.config
        if config.decoder == "segformer":
            return SegFormerDecoder(channels, WIDTHS[config.encoder], config.classes)
        if not config.light:
            return FCN8sDecoder(
                encoder,
                channels,
                config.classes,
                config.tile_size,
                config.finest_skip,
                config.fc_channels,
                config.fc_kernel,
            )
        return LightDecoder(
            encoder,
            channels,
            {context.name: width for context in config.outer_contexts},
            self.grid,
            config.classes,
            config.tile_size,
            config.finest_skip,
            HIDDEN if config.decoder == "mlp" else None,
        )

    def neck(self, name: str) -> Neck:
        """Get the neck of a stream, which follows its encoder.

        Parameters
        ----------
        name : str
            Stream: ``"tile"``, ``"medium"``, ``"large"``.

        Returns
        -------
        Neck
            The neck, which other streams may share.
        """
        module = self.necks[self._stream[name]]
        assert isinstance(module, Neck)
        return module

    def modules_before(self, name: str) -> list[nn.Module]:
        """List a stream's encoder and neck.

        Parameters
        ----------
        name : str
            Stream: ``"tile"``, ``"medium"``, ``"large"``.

        Returns
        -------
        list of nn.Module
            Modules of the stream.
        """
        return [*super().modules_before(name), self.neck(name)]

    def tile_features(self, images: Tensor) -> Features:
        """Compute features at the encoder's strides, with X at the correlation stride.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """
        features: Features = self.encoder("tile")(images)
        features[self.config.correlation_stride] = self.neck("tile")(features)
        return features

    def context_features(self, name: str, images: Tensor) -> Tensor:
        """Compute X_U of a context.

        Parameters
        ----------
        name : str
            Name of the context.
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float [B, C, h, w]
            X_U.
        """
        neck = self.neck(name)
        x: Tensor = neck(self.encoder(name)(images, neck.last_stride))
        return x

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Add LCF and ALE to X_I, and decode.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts : dict of str to Tensor
            From ``context_features`` by name; a batch of 1 is shared by all tiles.
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].
        without : Without, optional
            Parts that are left out.
        fusion : list of Tensor or None, optional
            List to which MCF's weights H_U are appended; see ``Network.decode``.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        features = self.fused(tile, contexts, windows, without, fusion)
        decoder = self.decoder
        if isinstance(decoder, LightDecoder):
            logits: Tensor = decoder(features, contexts, windows, without.contexts)
        else:
            logits = resize(decoder(features), self.config.tile_size)  # SegFormer's are at stride 4
        return logits

    def fused(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Features:
        """Add LCF and ALE to X_I.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts : dict of str to Tensor
            From ``context_features`` by name.
        windows : dict of str to Tensor
            Windows of ``"tile"`` and the contexts, image px.
        without : Without, optional
            Parts that are left out.
        fusion : list of Tensor or None, optional
            List to which MCF's weights H_U are appended.

        Returns
        -------
        Features
            The tile's features, of which those at the correlation stride are enhanced.
        """
        stride = self.config.correlation_stride
        x = tile[stride]
        everything = {"tile": x, **contexts}
        enhanced = x
        if self.lcf is not None:
            enhanced = enhanced + self.lcf(self.grid, everything, windows, without, fusion)
        if self.ale is not None and not without.ale:
            enhanced = enhanced + self.ale(self.grid, everything, windows, without.contexts)
        return {**tile, stride: enhanced}
