"""Draw the structures of ALE (Fig. 13 and Table 6) as the code computes them.

``python scripts/draw_ale.py`` writes ``docs/ale_structures.svg``. The graph of each structure is traced through
``fctl_napari.model.ale.ALE``. Boxes and arrows of the picture carry their names in the graph, so that a test compares
the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torch import Tensor, fx, nn

from fctl_napari.model.ale import ALE, LFI
from fctl_napari.model.config import AleStructure

OUT = Path(__file__).resolve().parents[1] / "docs" / "ale_structures.svg"

ROWS = {"medium": 1, "tile": 0, "large": -1}
"""Streams from the top: the tile between its contexts."""

COLORS = {"medium": "#b36b00", "tile": "#222222", "large": "#0072b2"}
INPUTS = {"medium": r"$\tilde{X}_M$", "tile": "$X_I$", "large": r"$\tilde{X}_L$"}
TITLES = {
    "a": "a: one reference, one step",
    "b": "b: one reference, two steps",
    "c": "c: two references, one step",
    "d": "d: two references, two steps (Alg. 1)",
    "e": "e: two references, three steps",
    "concat": "concat (Table 6)",
}


@dataclass(frozen=True)
class Node:
    """A tensor of the graph.

    Attributes
    ----------
    name : str
        ``"tile"``, ``"medium"`` or ``"large"`` for an input, ``"1.tile"`` for the block of the first step that enhances
        the tile, ``"cat"``, ``"conv"``, or ``"out"``.
    stream : str
        Stream that it belongs to.
    column : int
        Number of the step, from 0 for inputs.
    label : str
        Text for people.
    """

    name: str
    stream: str
    column: int
    label: str


@dataclass(frozen=True)
class Edge:
    """A use of a tensor.

    Attributes
    ----------
    source, target : str
        Names of the nodes.
    role : {"target", "reference"}
        ``"target"`` for what a block enhances and for what goes on as it is, ``"reference"`` for what it enhances by.
    """

    source: str
    target: str
    role: str


class _Structure(nn.Module):
    """ALE over features that lie on the tile's grid already."""

    def __init__(self, structure: AleStructure) -> None:
        super().__init__()
        self.ale = ALE(4, structure, "medium", (3,), True)

    def forward(self, tile: Tensor, medium: Tensor, large: Tensor) -> Tensor:
        on_grid = {"tile": tile, "medium": medium, "large": large}
        self.ale.crop = lambda *_: {name: on_grid[name] for name in ("tile", *self.ale.references)}  # type: ignore[method-assign]
        return self.ale(None, {}, {})


class _Tracer(fx.Tracer):
    """Tracer that takes a block of ALE as one operation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LFI) or super().is_leaf_module(m, module_qualified_name)


def trace(structure: AleStructure) -> tuple[list[Node], list[Edge]]:
    """Trace a structure through the code.

    Parameters
    ----------
    structure : AleStructure
        The structure; the reference of those with one is the medium context.

    Returns
    -------
    nodes : list of Node
        Tensors in the order in which they are computed, without those that nothing uses.
    edges : list of Edge
        Uses of the tensors.
    """
    nodes: dict[fx.Node, Node] = {}
    edges: list[Edge] = []

    def add(node: fx.Node, name: str, stream: str, label: str, uses: list[tuple[fx.Node, str]]) -> None:
        column = 1 + max((nodes[source].column for source, _ in uses), default=-1)
        nodes[node] = Node(name, stream, column, label)
        edges.extend(Edge(nodes[source].name, name, role) for source, role in uses)

    for node in _Tracer().trace(_Structure(structure)).nodes:
        args: Any = node.args
        if node.op == "placeholder":
            if node.users:
                add(node, node.name, node.name, INPUTS[node.name], [])
        elif node.op == "call_module" and node.target != "ale.concat":
            _, _, step, stream = str(node.target).split(".")
            name = f"{int(step) + 1}.{stream}"
            add(node, name, stream, "LFI", [(args[0], "target"), *((one, "reference") for one in args[1])])
        elif node.op == "call_function":
            add(node, "cat", "tile", r"$\oplus$", [(one, "target") for one in args[0]])
        else:
            name, label = ("conv", "1x1") if node.op == "call_module" else ("out", r"$\hat{X}_I$")
            add(node, name, "tile", label, [(args[0], "target")])
    return list(nodes.values()), edges


def draw(axes: Axes, structure: AleStructure) -> None:
    """Draw a structure.

    Parameters
    ----------
    axes : Axes
        Axes to draw into.
    structure : AleStructure
        The structure.
    """
    nodes, edges = trace(structure)
    at = {node.name: node for node in nodes}
    boxes = {}
    for node in nodes:
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": COLORS[node.stream], "linewidth": 1.2}
        boxes[node.name] = axes.text(
            node.column, ROWS[node.stream], node.label, ha="center", va="center", fontsize=9, bbox=box, zorder=3
        )
        boxes[node.name].set_gid(f"{structure}:{node.name}")
    for edge in edges:
        source, target = at[edge.source], at[edge.target]
        reference = edge.role == "reference"
        arrow = FancyArrowPatch(
            (source.column, ROWS[source.stream]),
            (target.column, ROWS[target.stream]),
            patchA=boxes[edge.source].get_bbox_patch(),
            patchB=boxes[edge.target].get_bbox_patch(),
            arrowstyle="-|>",
            mutation_scale=8,
            linewidth=1.0 if reference else 1.6,
            linestyle="--" if reference else "-",
            color=COLORS[source.stream],
            connectionstyle="arc3,rad=0.08" if reference else "arc3",
        )
        arrow.set_gid(f"{structure}:{edge.source}>{edge.target}:{edge.role}")
        axes.add_patch(arrow)
    middle = max(node.column for node in nodes) / 2
    axes.set(xlim=(middle - 2.4, middle + 2.4), ylim=(-1.4, 1.4))
    axes.set_title(TITLES[structure], fontsize=10)
    axes.axis("off")


def figure() -> Figure:
    """Draw all structures.

    Returns
    -------
    Figure
        The figure.
    """
    found = Figure(figsize=(11, 5), layout="constrained")
    found.patch.set_facecolor("white")
    structures = [one for one in get_args(AleStructure) if one in TITLES]
    for axes, structure in zip(found.subplots(2, 3).flat, sorted(structures, key=list(TITLES).index), strict=True):
        draw(axes, structure)
    return found


if __name__ == "__main__":
    with mpl.rc_context({"svg.hashsalt": "ale", "svg.fonttype": "path"}):
        figure().savefig(OUT, metadata={"Date": None})
