"""Explanations by the worker: of the tile that a segmentation would use, equal to it, in front of what waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_segmentation import OVERLAP, SCENE, TILE, Local

from fctl_napari.exceptions import CheckpointError, ConfigError, FctlError, InputError
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.feature_ablation import Without
from fctl_napari.segmentation.inference.explaining_predictor import EncodedTile, ExplainingPredictor
from fctl_napari.segmentation.jobs import loaded_networks, worker
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.jobs.explain_client import PRIORITY, network_of
from fctl_napari.segmentation.jobs.explainer import Explainer
from fctl_napari.segmentation.jobs.explanation import ContextMaps, ExplainRequest, TileExplanation
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid

ENOUGH = 250
GRID = TileGrid(SCENE, TILE, OVERLAP)
PIXELS = [(0.0, 0.0), (439.9, 499.9), (100.0, 250.5), (47.99, 48.0), (439.0, 3.0)]


@pytest.fixture
def ask(scene: Path, lively: Path) -> Callable[..., ExplainRequest]:
    """``ask(pixel, **fields)``: a request of the tiny network."""

    def make(pixel: tuple[float, float], **options: Any) -> ExplainRequest:
        return ExplainRequest(str(scene), str(lively), pixel, device="cpu", precision="fp32", **options)

    return make


@pytest.mark.slow
def test_the_mask_is_what_a_segmentation_stores(
    engine: Engine, ask: Callable[..., ExplainRequest], tmp_path: Path
) -> None:
    request = ask((0, 0))
    run = SegmentationRequest(
        request.image, str(tmp_path / "out.ome.zarr"), request.checkpoint, device="cpu", precision="fp32"
    )
    assert engine.start(run).wait(ENOUGH).state == "done"
    store = Segmentation.open(run.out)
    for pixel in PIXELS:
        told = engine.explain(replace(request, pixel=pixel)).result(ENOUGH)
        y, x = told.pixel
        assert (y, x) == (int(pixel[0]), int(pixel[1]))
        y0, x0, y1, x1 = told.core
        assert y0 <= y < y1
        assert x0 <= x < x1
        assert told.core == store.grid.core((y // store.grid.step, x // store.grid.step))
        part = told.labels[y0 - told.tile[0] : y1 - told.tile[0], x0 - told.tile[1] : x1 - told.tile[1]]
        np.testing.assert_array_equal(part, store.labels.read(told.core))
        stored = (int(block[0, 0]) for block in (at(store.labels, y, x), at(store.confidence, y, x)))
        assert tuple(stored) == (told.probabilities.argmax() + 1, round(255 * told.probabilities.max()))
        assert float(told.probabilities.sum()) == pytest.approx(1, abs=1e-5)
        assert [c.name for c in told.contexts] == ["local", "medium", "large"]
        assert told.where == "CPU, 1 thread, fp32"
        assert told.class_table == store.class_table
    other = engine.explain(replace(request, overlap=32)).result(ENOUGH)
    assert other.core == (0, 0, 32, 32)


def at(labels: Any, y: int, x: int) -> np.ndarray:
    return labels.read((y, x, y + 1, x + 1))


def check_same(a: object, b: object) -> None:
    """Two explanations hold the same, times aside."""
    assert type(a) is type(b)
    if isinstance(a, tuple):
        assert len(a) == len(b)  # type: ignore[arg-type]
        for one, other in zip(a, b, strict=True):  # type: ignore[call-overload]
            check_same(one, other)
    elif isinstance(a, dict):
        check_same(tuple(a.items()), tuple(b.items()))  # type: ignore[attr-defined]
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype  # type: ignore[attr-defined]
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]
    elif type(a).__module__.endswith("explanation") and not isinstance(a, ExplainRequest):
        for field in fields(a):  # type: ignore[arg-type]
            if field.name not in ("seconds", "where"):
                check_same(getattr(a, field.name), getattr(b, field.name))
    elif not isinstance(a, float):
        assert a == b
    else:
        assert a == pytest.approx(b)


@pytest.mark.slow
def test_a_notebook_gets_the_same(engine: Engine, ask: Callable[..., ExplainRequest]) -> None:
    without = Without(frozenset({"medium"}), gpe=True)
    request = ask((130.5, 300.0), without=without, channel=3, overlap=20)
    told = engine.explain(request).result(ENOUGH)
    options = {"device": "cpu", "precision": "fp32", "without": without, "channel": 3, "overlap": 20}
    for image in (request.image, Path(request.image), open_image(request.image)):
        here = explain(image, request.checkpoint, request.pixel, **options)
        check_same(here, told)
        assert here.without is not None


@pytest.fixture
def explainer(lively: Path, monkeypatch: pytest.MonkeyPatch) -> Explainer:
    """An explainer whose predictor counts what it is asked: ``explainer.predictor.calls``."""
    model, card = load_checkpoint(lively)

    class Counting(ExplainingPredictor):
        calls: tuple[str, ...] = ()

        def encode(self, *arguments: Any) -> EncodedTile:
            self.calls += ("encode",)
            return super().encode(*arguments)

        def explain(self, encoded: EncodedTile, without: Without = Without()) -> Any:  # noqa: B008
            self.calls += (" ".join(("explain", *without.names)),)
            return super().explain(encoded, without)

    return Explainer(Counting(model, device="cpu", precision="fp32"), card.classes)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_notebooks_threads_stay_as_they_are(ask: Callable[..., ExplainRequest], threads: int) -> None:
    before, request = torch.get_num_threads(), ask((70.0, 90.0))
    try:
        torch.set_num_threads(threads)
        explain(request.image, request.checkpoint, request.pixel, device="cpu")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_second_pixel_of_a_tile_costs_rows_alone(explainer: Explainer, ask: Callable[..., ExplainRequest]) -> None:
    image = open_image(ask((0, 0)).image)
    first = explainer.explain(image, ask((100.0, 250.0)))
    assert explainer.predictor.calls == ("encode", "explain")  # type: ignore[attr-defined]
    second = explainer.explain(image, ask((130.0, 280.0)))
    assert first.tile == second.tile
    assert first.cell != second.cell
    assert explainer.predictor.calls == ("encode", "explain")  # type: ignore[attr-defined]
    for a, b in zip(first.contexts, second.contexts, strict=True):
        assert np.abs(a.combined - b.combined).max() > 1e-3, "another row"
        np.testing.assert_array_equal(a.received, b.received)
    without = explainer.explain(image, ask((130.0, 280.0), without=Without(ale=True)))
    explainer.explain(image, ask((131.0, 281.0), without=Without(ale=True)))
    assert explainer.predictor.calls == ("encode", "explain", "explain ale")  # type: ignore[attr-defined]
    check_same(replace(without, request=second.request, without=None), second)
    elsewhere = explainer.explain(image, ask((300.0, 20.0)))
    assert elsewhere.tile != first.tile
    assert explainer.predictor.calls[3:] == ("encode", "explain")  # type: ignore[attr-defined]
    again = explainer.explain(image, ask((100.0, 250.0)))
    check_same(again, first)


def test_maps_keep_what_they_promise(explainer: Explainer, ask: Callable[..., ExplainRequest]) -> None:
    image = open_image(ask((0, 0)).image)
    without = Without(frozenset({"local"}), gpe=True, ale=True)
    for pixel in PIXELS:
        told = explainer.explain(image, ask(pixel, without=without))
        assert told.without is not None
        assert [c.name for c in told.without.contexts] == ["medium", "large"]
        assert told.without.enhancements == ()
        assert {(e.step, e.target) for e in told.enhancements} == {
            (1, "tile"), (1, "medium"), (1, "large"), (2, "tile")
        }  # fmt: skip
        for view in (told, told.without):
            check_view(view)
            assert view.cell == told.cell
        for context in told.without.contexts:
            assert context.positional is None
            np.testing.assert_array_equal(context.combined, context.content)
        assert (told.labels != told.without.labels).any()


def check_view(told: TileExplanation) -> None:
    n = 4
    y, x = (c + 0.5 for c in told.pixel)
    y0, x0, y1, x1 = told.cell_window
    assert y0 <= y <= y1
    assert x0 <= x <= x1
    assert (y1 - y0, x1 - x0) == (16, 16)
    assert told.footprint == tuple(map(float, told.tile))
    assert sum(c.weight for c in told.contexts) == pytest.approx(np.ones((n, n)), abs=1e-5)
    for context in told.contexts:
        check_context(context, n)
        wanted = {"local": told.tile, "medium": around(told.tile), "large": (0, 0, *SCENE)}[context.name]
        assert context.window == context.footprint == pytest.approx(wanted)


def around(tile: tuple[int, int, int, int]) -> tuple[float, ...]:
    half = TILE / 2
    return tile[0] - half, tile[1] - half, tile[2] + half, tile[3] + half


def check_context(context: ContextMaps, n: int) -> None:
    for part in ("content", "positional", "combined"):
        row = getattr(context, part)
        received = getattr(context, "received" if part == "combined" else f"received_{part}")
        assert (row is None) == (received is None)
        if row is not None:
            assert row.dtype == received.dtype == np.float32
            assert float(row.sum()) == pytest.approx(1, abs=1e-5)
            assert float(received.sum()) == pytest.approx(n * n, abs=1e-3)
    if context.positional is not None:
        expected = context.gate * context.content + (1 - context.gate) * context.positional
        np.testing.assert_allclose(context.combined, expected, atol=1e-6)
    assert 0 < context.gate <= 1


def test_a_channel_or_the_mean(explainer: Explainer, ask: Callable[..., ExplainRequest]) -> None:
    image = open_image(ask((0, 0)).image)
    mean = explainer.explain(image, ask((9.0, 9.0)))
    channels = [explainer.explain(image, ask((9.0, 9.0), channel=k)) for k in range(16)]
    for number, context in enumerate(mean.contexts):
        stacked = np.stack([told.contexts[number].weight for told in channels])
        np.testing.assert_allclose(stacked.mean(0), context.weight, rtol=1e-5)
    with pytest.raises(ConfigError, match="no channel 16; choose from 0 to 15"):
        explainer.explain(image, ask((9.0, 9.0), channel=16))
    with pytest.raises(ConfigError, match="no channel -1"):
        explainer.explain(image, ask((9.0, 9.0), channel=-1))


REFUSED: list[tuple[dict[str, Any], type[FctlError], str]] = [
    ({"pixel": (440.0, 3.0)}, InputError, r"pixel \(440, 3\) \(y, x\) lies outside its 440 x 500 px"),
    ({"pixel": (5.0, -0.1)}, InputError, "lies outside"),
    ({"without": Without(frozenset({"huge"}))}, ConfigError, "no context 'huge' to leave out"),
    ({"overlap": 64}, ConfigError, "overlap of 64 px does not fit"),
    ({"device": "tpu"}, ConfigError, "no device 'tpu'"),
    ({"image": "nowhere.png"}, InputError, "nowhere.png"),
    ({"checkpoint": "nowhere.safetensors"}, CheckpointError, "there is no such checkpoint"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "kind", "words"), REFUSED, ids=lambda v: str(v)[:30])
def test_what_cannot_be_explained_is_a_sentence(
    wrong: dict[str, Any], kind: type[FctlError], words: str, engine: Engine, ask: Callable[..., ExplainRequest]
) -> None:
    request = replace(ask((20.0, 20.0)), **wrong)
    with pytest.raises(kind, match=words):
        engine.explain(request).result(ENOUGH)
    options = {f.name: getattr(request, f.name) for f in fields(request)}
    positional = [options.pop(name) for name in ("image", "checkpoint", "pixel")]
    with pytest.raises(kind, match=words):
        explain(*positional, **options)
    assert engine.explain(ask((20.0, 20.0))).result(ENOUGH).labels.any(), "the worker goes on"


@pytest.mark.slow
def test_a_question_overtakes_what_waits(engine: Engine, ask: Callable[..., ExplainRequest]) -> None:
    engine.explain(ask((20.0, 20.0))).result(ENOUGH)
    client = engine._workers.client()
    waiting = [client.submit(time.sleep, 0.3, pure=False) for _ in range(20)]
    told = engine.explain(ask((21.0, 20.0))).result(ENOUGH)
    assert told.pixel == (21, 20)
    assert sum(future.done() for future in waiting) < 15
    assert PRIORITY > 0
    late = engine.explain(ask((22.0, 20.0)))
    assert late.cancel()
    with pytest.raises(CancelledError):
        late.result(0)
    for future in waiting:
        future.cancel()
    assert engine.explain(ask((23.0, 20.0))).result(ENOUGH).pixel == (23, 20)


def test_the_network_of_a_run_is_not_loaded_again(
    local: Local, scene: Path, ask: Callable[..., ExplainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_networks, "loaded", {})
    local.segment(tmp_path / "out.ome.zarr", scene, region=(0, 0, 40, 40), batch=3)
    loaded = loaded_networks.loaded["torch"]
    assert loaded.explainer is None
    request = ask((20.0, 20.0))
    worker.explain(network_of(request, threads=1), request)
    assert loaded_networks.loaded == {"torch": loaded}
    assert loaded.explainer is not None
    worker.explain(network_of(replace(request, exact_contexts=True), threads=1), request)
    other = loaded_networks.loaded["torch"]
    assert other.predictor is not loaded.predictor
    assert other.explainer is not None
    assert other.explainer.predictor is other.predictor, "nothing of the old one is kept"
