"""FCtL: the multi-stream network (Fig. 4)."""

from __future__ import annotations

import warnings

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.ale import ALE
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.decoder import FCN8sDecoder
from fctl_napari.model.encoders import Encoder, Features, make_encoder
from fctl_napari.model.lcf import LCF
from fctl_napari.model.without import WHOLE, Without


class Neck(nn.Module):
    """X of one stream: the correlation stage's features, widened by a 1x1 conv and joined by the last stage's.

    Parameters
    ----------
    encoder
        Gives the channels.
    config
        ``correlation_stride``, ``width`` and ``top_down``.
    """

    def __init__(self, encoder: Encoder, config: FCtLConfig) -> None:
        super().__init__()
        self.stride = config.correlation_stride
        width = config.width
        self.lateral: nn.Module = nn.Conv2d(encoder.channels[self.stride], width, 1) if width else nn.Identity()
        self.top: nn.Module | None = nn.Conv2d(encoder.channels[32], width, 1) if width and config.top_down else None

    @property
    def last_stride(self) -> int:
        """The stride up to which the encoder has to run for X."""
        return 32 if self.top is not None else self.stride

    def forward(self, features: Features) -> Tensor:
        """Compute X, [B, C, h, w] at the correlation stride, from an encoder's features."""
        x: Tensor = self.lateral(features[self.stride])
        if self.top is not None:
            top = F.interpolate(self.top(features[32]), scale_factor=32 // self.stride, mode="bilinear")
            x = x + top[:, :, : x.shape[-2], : x.shape[-1]]
        return x


class FCtL(nn.Module):
    """Locality-aware context fusion and alternating local enhancement over an encoder-decoder.

    Parameters
    ----------
    config
        Every option; see ``FCtLConfig``.

    Raises
    ------
    ConfigError
        The tile size does not fit the encoder.

    Notes
    -----
    Windows are ``(y0, x0, y1, x1)`` in image px. ``"tile"`` names the tile; contexts are named ``"medium"`` and
    ``"large"``; the local context is passed only where it is larger than the tile.
    """

    def __init__(self, config: FCtLConfig) -> None:
        super().__init__()
        self.config = config
        names = ("tile", *(c.name for c in config.outer_contexts))
        shared = {"none": {}, "contexts": dict.fromkeys(names[1:], "context"), "all": dict.fromkeys(names, "tile")}
        self._stream = {name: shared[config.share_encoders].get(name, name) for name in names}
        if "local" in self._stream:
            self._stream["local"] = "tile"
        streams = dict.fromkeys(self._stream.values())
        self.encoders = nn.ModuleDict({stream: make_encoder(config.encoder) for stream in streams})
        for name in names:
            self.encoder(name).unit_input = config.normalization == "unit"
        encoder = self.encoder("tile")
        self.grid = encoder.grid(config.tile_size, config.correlation_stride)
        self.necks = nn.ModuleDict({stream: Neck(encoder, config) for stream in streams})
        for neck in self.necks.values():
            # one space of features for every stream to start from
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
        self.decoder = FCN8sDecoder(
            encoder,
            channels,
            config.classes,
            config.tile_size,
            config.finest_skip,
            config.fc_channels,
            config.fc_kernel,
        )
        too_wide = [w for w in config.ale_windows if w > self.grid.size]
        if self.ale is not None and config.ale != "concat" and too_wide:
            warnings.warn(
                f"ALE's windows {too_wide} exceed the {self.grid.size} x {self.grid.size} feature grid; use a finer "
                "correlation_stride, a larger tile_size or smaller ale_windows.",
                stacklevel=2,
            )

    def encoder(self, name: str) -> Encoder:
        """Get the encoder of a stream (``"tile"``, ``"medium"``, ``"large"``)."""
        module = self.encoders[self._stream[name]]
        assert isinstance(module, Encoder)
        return module

    def neck(self, name: str) -> Neck:
        """Get the neck of a stream, behind its encoder."""
        module = self.necks[self._stream[name]]
        assert isinstance(module, Neck)
        return module

    def encode_tile(self, images: Tensor) -> Features:
        """Encode tiles: features at strides 8, 16, 32; X replaces the correlation stride's.

        Parameters
        ----------
        images
            RGB in 0..255, uint8 or float, [B, 3, T, T].
        """
        features: Features = self.encoder("tile")(images)
        features[self.config.correlation_stride] = self.neck("tile")(features)
        return features

    def encode_context(self, name: str, images: Tensor) -> Tensor:
        """Encode contexts.

        Parameters
        ----------
        name
            ``"medium"`` or ``"large"``.
        images
            RGB in 0..255, uint8 or float, [B, 3, T, T].

        Returns
        -------
        Tensor
            X_U, [B, C, h, w].
        """
        neck = self.neck(name)
        x: Tensor = neck(self.encoder(name)(images, neck.last_stride))
        return x

    def decode(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Combine X_I + LCF + ALE, then run the decoder.

        Parameters
        ----------
        tile
            From ``encode_tile``.
        contexts
            By name, from ``encode_context``; a batch of 1 is shared by all tiles.
        windows
            ``"tile"`` and the same names: [B or 1, 4] px.
        without
            Parts that are left out; see ``Without.check``.
        fusion
            MCF's weights H_U over the tile's cells, [B, contexts, C, h, w], are appended to it; nothing without LCF.

        Returns
        -------
        Tensor
            Logits [B, classes, T, T].
        """
        stride = self.config.correlation_stride
        x = tile[stride]
        everything = {"tile": x, **contexts}
        enhanced = x
        if self.lcf is not None:
            enhanced = enhanced + self.lcf(self.grid, everything, windows, without, fusion)
        if self.ale is not None and not without.ale:
            enhanced = enhanced + self.ale(self.grid, everything, windows, without.contexts)
        logits: Tensor = self.decoder({**tile, stride: enhanced})
        return logits

    def forward(self, tile: Tensor, contexts: dict[str, Tensor], windows: dict[str, Tensor]) -> Tensor:
        """Segment tiles with their contexts.

        Parameters
        ----------
        tile
            RGB in 0..255, [B, 3, T, T].
        contexts
            By name, RGB in 0..255, [B or 1, 3, T, T].
        windows
            ``"tile"`` and the same names: [B or 1, 4] px.

        Returns
        -------
        Tensor
            [B, classes, T, T].
        """
        encoded = {name: self.encode_context(name, images) for name, images in contexts.items()}
        return self.decode(self.encode_tile(tile), encoded, windows)

    def cell_at(self, window: Tensor, pixel: tuple[float, float]) -> tuple[int, int]:
        """Find the tile's feature cell (y, x) nearest to an image pixel (y, x); ``window`` is [1, 4]."""
        y, x = self.grid.centres(window)
        return int((y[0] - pixel[0] - 0.5).abs().argmin()), int((x[0] - pixel[1] - 0.5).abs().argmin())
