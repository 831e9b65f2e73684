"""The picture of ALE's structures shows what the code computes."""

from __future__ import annotations

import re
from typing import get_args

import draw_ale
import pytest
import torch

from fctl_napari.model.ale import ALE
from fctl_napari.model.config import AleStructure

STRUCTURES = [one for one in get_args(AleStructure) if one != "none"]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_graph_computes_what_the_code_does(structure: AleStructure, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ale = ALE(6, structure, "medium", (3, 5), True)
    for weights in ale.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    features = {name: torch.randn(2, 6, 5, 5) for name in ("tile", "medium", "large")}
    monkeypatch.setattr(ale, "crop", lambda *_: {name: features[name] for name in ("tile", *ale.references)})
    nodes, edges = draw_ale.trace(structure)
    values = {}
    for node in nodes:
        used = [values[edge.source] for edge in edges if edge.target == node.name]
        if node.name in features:
            values[node.name] = features[node.name]
        elif node.name == "cat":
            values[node.name] = torch.cat(used, dim=1)
        elif node.name == "conv":
            values[node.name] = ale.concat(used[0])  # type: ignore[misc]
        elif node.name == "out":
            values[node.name] = used[0]
        else:
            step, stream = node.name.split(".")
            (target,) = (e.source for e in edges if e.target == node.name and e.role == "target")
            references = [values[e.source] for e in edges if e.target == node.name and e.role == "reference"]
            block = ale.steps[int(step) - 1][stream]  # type: ignore[index]
            values[node.name] = block(values[target], references)
            assert stream == next(one.stream for one in nodes if one.name == target)
    assert torch.equal(values["out"], ale(None, {}, {}))


def test_the_picture_in_the_documents_shows_the_graphs() -> None:
    shown = set(re.findall(r'id="((?:[a-e]|concat):[^"]+)"', draw_ale.OUT.read_text("utf-8").replace("&gt;", ">")))
    expected = set()
    for structure in STRUCTURES:
        nodes, edges = draw_ale.trace(structure)
        expected |= {f"{structure}:{node.name}" for node in nodes}
        expected |= {f"{structure}:{edge.source}>{edge.target}:{edge.role}" for edge in edges}
    assert shown == expected, "run scripts/draw_ale.py"
