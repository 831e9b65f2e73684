"""MiT, SegFormer's encoder (Xie et al., 2021), with the module names of the published ``nvidia/mit-b*`` files."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.encoders.base import Encoder, Features

HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
MLP_RATIO = 4


class Variant(NamedTuple):
    """Depths and widths of the four stages.

    Attributes
    ----------
    depths : tuple of 4 int
        Transformer layers of each stage.
    widths : tuple of 4 int
        Channels of each stage.
    """

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]


VARIANTS = {
    "mit_b0": Variant((2, 2, 2, 2), (32, 64, 160, 256)),
    "mit_b2": Variant((3, 4, 6, 3), (64, 128, 320, 512)),
    "mit_b5": Variant((3, 6, 40, 3), (64, 128, 320, 512)),
}


class OverlapPatchEmbedding(nn.Module):
    """Strided convolution, then layer norm over channels.

    Parameters
    ----------
    before, after : int
        Channels of the input and of the tokens.
    kernel, stride : int
        Kernel size (odd) and stride of the convolution, cells.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)
        self.layer_norm = nn.LayerNorm(after)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Turn a map into tokens.

        Parameters
        ----------
        x : Tensor of float [B, C, H, W]
            Feature map.

        Returns
        -------
        tokens : Tensor of float [B, h * w, after]
            Tokens, row by row.
        h, w : int
            Rows and columns of the tokens.
        """
        x = self.proj(x)
        h, w = x.shape[-2:]
        return self.layer_norm(x.flatten(2).transpose(1, 2)), h, w


class EfficientSelfAttention(nn.Module):
    """Self-attention whose keys and values are reduced by a strided convolution.

    Parameters
    ----------
    width : int
        Channels of the tokens.
    heads : int
        Number of heads.
    reduction : int
        Stride of the reducing convolution, cells; 1 for none.
    """

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, reduction)
            self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        """Attend from every token to the reduced tokens.

        Parameters
        ----------
        x : Tensor of float [B, N, C]
            Tokens, row by row.
        h, w : int
            Rows and columns of the tokens.

        Returns
        -------
        Tensor of float [B, N, C]
            Attended values.
        """
        b, n, c = x.shape
        reduced = x
        if self.reduction > 1:
            reduced = self.sr(x.transpose(1, 2).reshape(b, c, h, w))
            reduced = self.layer_norm(reduced.flatten(2).transpose(1, 2))
        q, k, v = (
            layer(t).reshape(b, -1, self.heads, c // self.heads).transpose(1, 2)
            for layer, t in ((self.query, x), (self.key, reduced), (self.value, reduced))
        )
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)


class _AttentionOutput(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)


class Attention(nn.Module):
    """Self-attention and its output projection.

    Parameters
    ----------
    width, heads, reduction : int
        See ``EfficientSelfAttention``.
    """

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.add_module("self", EfficientSelfAttention(width, heads, reduction))
        self.output = _AttentionOutput(width)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        """Attend and project.

        Parameters
        ----------
        x : Tensor of float [B, N, C]
            Tokens, row by row.
        h, w : int
            Rows and columns of the tokens.

        Returns
        -------
        Tensor of float [B, N, C]
            Projected tokens.
        """
        out: Tensor = self.output.dense(self.get_submodule("self")(x, h, w))
        return out


class _DepthwiseConv(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)


class MixFFN(nn.Module):
    """Linear layer, 3x3 depthwise convolution, GELU, linear layer.

    Parameters
    ----------
    width : int
        Channels of the tokens.
    inner : int
        Channels between the linear layers.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense1 = nn.Linear(width, inner)
        self.dwconv = _DepthwiseConv(inner)
        self.dense2 = nn.Linear(inner, width)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        """Run the layers.

        Parameters
        ----------
        x : Tensor of float [B, N, C]
            Tokens, row by row.
        h, w : int
            Rows and columns of the tokens.

        Returns
        -------
        Tensor of float [B, N, C]
            Tokens.
        """
        x = self.dense1(x)
        b, _, c = x.shape
        x = self.dwconv.dwconv(x.transpose(1, 2).reshape(b, c, h, w)).flatten(2).transpose(1, 2)
        out: Tensor = self.dense2(F.gelu(x))
        return out


class Layer(nn.Module):
    """Transformer layer with the norms in front (pre-norm).

    Parameters
    ----------
    width, heads, reduction : int
        See ``EfficientSelfAttention``.
    """

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.layer_norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, reduction)
        self.layer_norm_2 = nn.LayerNorm(width)
        self.mlp = MixFFN(width, width * MLP_RATIO)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        """Run attention and Mix-FFN, each with a residual.

        Parameters
        ----------
        x : Tensor of float [B, N, C]
            Tokens, row by row.
        h, w : int
            Rows and columns of the tokens.

        Returns
        -------
        Tensor of float [B, N, C]
            Tokens.
        """
        x = x + self.attention(self.layer_norm_1(x), h, w)
        out: Tensor = x + self.mlp(self.layer_norm_2(x), h, w)
        return out


class MixTransformer(Encoder):
    """MiT-B0, B2 or B5, with stages 1 to 4 at strides 4, 8, 16, 32.

    Parameters
    ----------
    variant : str
        Key of ``VARIANTS``.
    in_channels : int, optional
        Number of bands of the input.
    """

    first_weight: ClassVar[str] = "patch_embeddings.0.proj.weight"

    def __init__(self, variant: str, in_channels: int = 3) -> None:
        super().__init__()
        depths, widths = VARIANTS[variant]
        self.published = f"pytorch_model.bin of nvidia/{variant.replace('_', '-')} (Hugging Face)"
        self.channels = dict(zip((4, 8, 16, 32), widths, strict=True))
        befores = (in_channels, *widths[:3])
        self.patch_embeddings = nn.ModuleList(
            OverlapPatchEmbedding(before, after, 7 if i == 0 else 3, 4 if i == 0 else 2)
            for i, (before, after) in enumerate(zip(befores, widths, strict=True))
        )
        self.block = nn.ModuleList(
            nn.ModuleList(Layer(width, heads, reduction) for _ in range(depth))
            for depth, width, heads, reduction in zip(depths, widths, HEADS, REDUCTIONS, strict=True)
        )
        self.layer_norm = nn.ModuleList(nn.LayerNorm(width) for width in widths)

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the stages and keep their outputs.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """
        found: Features = {}
        x = images
        for stage, stride in enumerate((4, 8, 16, 32)):
            tokens, h, w = self.patch_embeddings[stage](x)
            for layer in self.block[stage].children():
                tokens = self.run(layer, tokens, h, w)
            tokens = self.layer_norm[stage](tokens)
            x = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, h, w)
            found[stride] = x
            if stride == last_stride:
                break
        return found

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename the keys of ``nvidia/mit-b*`` files.

        They have ``segformer.encoder.`` or ``encoder.`` in front, and else the same names.

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            Arrays by this module's keys; others are dropped.
        """
        out: dict[str, Tensor] = {}
        for key, value in state.items():
            for prefix in ("segformer.encoder.", "encoder."):
                if key.startswith(prefix):
                    out[key.removeprefix(prefix)] = value
                    break
            else:
                out[key] = value
        wanted = set(self.state_dict())
        return {key: value for key, value in out.items() if key in wanted}
