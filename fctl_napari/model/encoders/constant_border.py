"""Inference through a padded stack of convolutions without the part that no image pixel reaches.

VGG16 in the FCN-8s convention pads the image by 100 px. Far from the image every layer's output is a function of the
weights alone and the same for every tile: 37 % of the work. Here each block of layers computes the part that the image
reaches. The few rows and columns around it that a block needs are computed once per network and kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MANY_CHANNELS = 256
"""Number of channels from which each convolution has a frame of its own."""


@dataclass(frozen=True)
class Part:
    """Rows [start, stop) of a feature map, and the same columns.

    Attributes
    ----------
    start, stop : int
        First row, and the row after the last one.
    size : int
        Rows (and columns) of the whole map.
    """

    start: int
    stop: int
    size: int

    def after(self, layer: nn.Conv2d | nn.MaxPool2d) -> Part:
        """Find the part of a layer's output that this part of its input reaches.

        Parameters
        ----------
        layer : nn.Conv2d or nn.MaxPool2d
            3x3 convolution padded by 1, or 2x2 max pooling in ceil mode.

        Returns
        -------
        Part
            Part of the layer's output.
        """
        if isinstance(layer, nn.Conv2d):
            return Part(max(self.start - 1, 0), min(self.stop + 1, self.size), self.size)
        return Part(self.start // 2, -(-self.stop // 2), -(-self.size // 2))

    def before(self, layer: nn.Conv2d | nn.MaxPool2d, size: int) -> Part:
        """Find the part of a layer's input from which this part of its output is made.

        Beyond the ends of the input map there are zeros.

        Parameters
        ----------
        layer : nn.Conv2d or nn.MaxPool2d
            3x3 convolution padded by 1, or 2x2 max pooling in ceil mode.
        size : int
            Rows (and columns) of the whole input map.

        Returns
        -------
        Part
            Part of the layer's input.
        """
        if isinstance(layer, nn.Conv2d):
            return Part(max(self.start - 1, 0), min(self.stop + 1, size), size)
        return Part(2 * self.start, min(2 * self.stop, size), size)


@dataclass(frozen=True)
class Frame:
    """Rows above and below, and columns left and right of a part.

    Attributes
    ----------
    top, bottom : Tensor of float [1, C, n, w]
        Rows over the full width, frame included.
    left, right : Tensor of float [1, C, h, n]
        Columns over the height of the part.
    """

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    @classmethod
    def around(cls, constant: Tensor, part: Part, needed: Part) -> Frame:
        """Cut a frame from a whole map.

        Parameters
        ----------
        constant : Tensor of float [1, C, size, size]
            The whole map.
        part : Part
            Part that the frame surrounds.
        needed : Part
            Part with its frame.

        Returns
        -------
        Frame
            Copies of the rows and columns between ``part`` and ``needed``.
        """
        a, b, c, d = needed.start, part.start, part.stop, needed.stop
        return cls(
            constant[:, :, a:b, a:d].clone(),
            constant[:, :, c:d, a:d].clone(),
            constant[:, :, b:c, a:b].clone(),
            constant[:, :, b:c, c:d].clone(),
        )

    def put(self, x: Tensor) -> Tensor:
        """Put the frame around a part.

        Parameters
        ----------
        x : Tensor of float [B, C, h, h]
            The part.

        Returns
        -------
        Tensor of float [B, C, h', w']
            The part with its frame; ``x`` itself where the frame is empty.
        """
        if not (self.top.numel() or self.bottom.numel() or self.left.numel() or self.right.numel()):
            return x
        top, left = self.top.shape[2], self.left.shape[3]
        height = top + x.shape[2] + self.bottom.shape[2]
        width = left + x.shape[3] + self.right.shape[3]
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        out = torch.empty((*x.shape[:2], height, width), dtype=x.dtype, device=x.device, memory_format=layout)
        out[:, :, :top] = self.top
        out[:, :, height - self.bottom.shape[2] :] = self.bottom
        middle = out[:, :, top : top + x.shape[2]]
        middle[..., :left] = self.left
        middle[..., left : left + x.shape[3]] = x
        middle[..., left + x.shape[3] :] = self.right
        return out


@dataclass(frozen=True)
class Block:
    """Consecutive convolutions, with or without a pooling after them.

    Attributes
    ----------
    convs : tuple of nn.Conv2d
        The convolutions.
    pool : nn.MaxPool2d or None
        The pooling after them, if any.
    index : int
        Index of the block's last layer among all layers.
    frame : Frame or None
        Frame around the part that the image reaches, wide enough for the whole block. None in the first block, whose
        images are surrounded by zeros.
    parts : tuple of Part
        Input of the first convolution, frame included, then the output of each one. The very first convolution, which
        pads by more, has its output only.
    reached : Part
        Part of the output that the image reaches.
    """

    convs: tuple[nn.Conv2d, ...]
    pool: nn.MaxPool2d | None
    index: int
    frame: Frame | None
    parts: tuple[Part, ...]
    reached: Part


class ConstantBorder:
    """Frames of one stack of layers for one input size, dtype and device.

    Parameters
    ----------
    layers : sequence of nn.Module
        3x3 convolutions (the first padded by ``padding``, the others by 1), each with a ReLU, and 2x2 max poolings in
        ceil mode.
    padding : int
        Padding of the first convolution, px.
    size : int
        Side of the images, px.
    kept : collection of int
        Indices of the poolings whose outputs are wanted.
    like : Tensor of float [B, C, size, size]
        Batch of images that gives channels, dtype and device.

    Attributes
    ----------
    blocks : list of Block
        The stack, cut into blocks.
    whole : dict of int to Tensor
        Whole outputs of the kept poolings for an image of zeros, [1, C, n, n] by index.
    margins : list of int
        Zeros to the left, to the right, above and below an image, px.
    """

    def __init__(
        self, layers: Sequence[nn.Module], padding: int, size: int, kept: Collection[int], like: Tensor
    ) -> None:
        self.blocks: list[Block] = []
        self.whole: dict[int, Tensor] = {}
        x = like.new_zeros((1, like.shape[1], size, size))
        # the first convolution's output: its padded input is zero outside the image
        reached = Part(padding - 2, padding + size, size + 2 * padding - 2)
        for index, convs, pool in _blocks(layers):
            self.blocks.append(self._block(convs, pool, index, reached, x))
            reached = self.blocks[-1].reached
            for conv in convs:
                x = conv(x).relu_()
            x = x if pool is None else pool(x)
            if index in kept:
                self.whole[index] = x
        given = self.blocks[0].parts[0]
        self.margins = [padding - given.start, given.stop + 2 - padding - size] * 2
        """Zeros to the left, to the right, above and below an image."""

    def _block(
        self, convs: list[nn.Conv2d], pool: nn.MaxPool2d | None, index: int, reached: Part, start: Tensor
    ) -> Block:
        """Lay out a block that makes the part of its output that the image reaches."""
        first = not self.blocks
        inner = convs[1:] if first else convs
        out = reached
        for conv in inner:
            out = out.after(conv)
        wanted = out
        if pool is not None:
            out = out.after(pool)
            wanted = out.before(pool, reached.size)
        parts = [wanted]
        for conv in inner:
            parts.append(parts[-1].before(conv, reached.size))
        frame = None if first else Frame.around(start, reached, parts[-1])
        return Block(tuple(convs), pool, index, frame, tuple(reversed(parts)), out)

    def run(self, images: Tensor, last: int) -> dict[int, Tensor]:
        """Compute the outputs of the kept poolings.

        Parameters
        ----------
        images : Tensor of float [B, C, size, size]
            Normalized images.
        last : int
            Index of the last layer to run, a pooling.

        Returns
        -------
        dict of int to Tensor
            Whole outputs of the kept poolings, [B, C, n, n] by index.
        """
        found: dict[int, Tensor] = {}
        x = images
        for block in self.blocks:
            x = self._run(block, x)
            if block.index in self.whole:
                found[block.index] = self._complete(block, x)
            if block.index == last:
                break
        return found

    def _run(self, block: Block, x: Tensor) -> Tensor:
        inner = block.convs
        if block.frame is None:
            x = F.conv2d(F.pad(x, self.margins), block.convs[0].weight, block.convs[0].bias).relu_()
            inner = inner[1:]
        else:
            x = block.frame.put(x)
        for conv, (given, wanted) in zip(inner, pairwise(block.parts), strict=True):
            # pad with zeros only where the whole map ends
            above, below = int(given.start == wanted.start), int(given.stop == wanted.stop)
            if above != below:
                x = F.pad(x, [above, below] * 2)
            x = F.conv2d(x, conv.weight, conv.bias, padding=int(above and below))
            if conv is not block.convs[-1]:
                x = x.relu_()
        if block.pool is not None:
            x = block.pool(x)  # pooling before the ReLU gives the same and leaves it a quarter of the work
        return x.relu_()

    def _complete(self, block: Block, x: Tensor) -> Tensor:
        """Complete a part to the whole map with the constant border."""
        part = block.reached
        if (part.start, part.stop) == (0, part.size):
            return x
        out = self.whole[block.index].to(x.dtype).expand(x.shape[0], -1, -1, -1).clone()
        out[:, :, part.start : part.stop, part.start : part.stop] = x
        return out


def _blocks(layers: Sequence[nn.Module]) -> Iterator[tuple[int, list[nn.Conv2d], nn.MaxPool2d | None]]:
    """Cut a stack into blocks, each with the index of its last layer.

    A frame for each convolution saves the pixels around the reached part. A frame for several convolutions saves
    copying large maps. With many channels pixels are expensive and maps are small.
    """
    convs: list[nn.Conv2d] = []
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            if convs and layer.out_channels >= MANY_CHANNELS:
                yield index - 1, convs, None
                convs = []
            convs.append(layer)
        elif isinstance(layer, nn.MaxPool2d):
            yield index, convs, layer
            convs = []
