"""Several images as one job of ``fctl segment``: results in a folder, and one table of them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from helpers_commands import Fctl
from PIL import Image
from rasterio.transform import from_origin

from fctl_napari.cli.segment_several import segment_several
from fctl_napari.evaluation import class_areas
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.jobs import engine as engines
from fctl_napari.segmentation.jobs.request import SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

NAMES = ("red", "green", "blue")
TABLE = "tiny.summary.csv"


def write_tif(path: Path, pixels: np.ndarray, east: float = 5e5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 3, "dtype": "uint8"}
    placed = {"crs": "EPSG:32632", "transform": from_origin(east, 5e6, 2, 2)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **placed) as made:
        made.write(pixels.transpose(2, 0, 1))
    return path


@pytest.fixture
def tiles(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> Path:
    """Images of four formats and sizes, one with a ground truth beside it."""
    here = tmp_path / "tiles"
    write_tif(here / "a.tif", make_rgb(70, 90, seed=1))
    Image.fromarray(make_rgb(64, 64, seed=2)).save(here / "b.png")
    Image.fromarray(make_rgb(50, 130, seed=3)).save(here / "c.jpg")
    Image.fromarray(make_rgb(80, 60, seed=4)).save(tmp_path / "d.png")
    convert(open_image(tmp_path / "d.png"), here / "d.ome.zarr")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(here / "b_mask.png")
    return here


@pytest.fixture
def job(fctl: Fctl, tiny_checkpoint: Path) -> Callable[..., Any]:
    """``job(*arguments)``: a run of ``fctl segment`` with the tiny network."""
    return lambda *arguments: fctl("segment", *arguments, "--checkpoint", tiny_checkpoint, "--device", "cpu")


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / TABLE).open(newline="") as file:
        return {Path(row["image"]).name: row for row in csv.DictReader(file)}


def test_a_folder_is_segmented_and_counted(job: Callable[..., Any], tiles: Path, tmp_path: Path) -> None:
    out, document = tmp_path / "out", tmp_path / "table.json"
    outcome = job(tiles, "--out", out, "--json", document)
    assert outcome.code == 0, outcome.err
    assert "4 images; left out: ground truths (1)" in outcome.err
    assert f"2/4 {tiles / 'b.png'}: done, " in outcome.err
    assert str(out / TABLE) in outcome.out
    found, told = rows(out), json.loads(document.read_text())
    assert list(found) == ["a.tif", "b.png", "c.jpg", "d.ome.zarr"]
    for row, text in zip(told["images"], found.values(), strict=True):
        assert row["result"] == text["result"] == f"{Path(row['image']).name.split('.')[0]}.tiny.fctl.ome.zarr"
        store = Segmentation.open(out / row["result"])
        labels, confidence = (part.read((0, 0, *store.shape)) for part in (store.labels, store.confidence))
        counts = {name: int((labels == value).sum()) for value, name in enumerate(NAMES, 1)}
        assert row["pixels"] == counts
        assert row["px"] == int(text["px"]) == labels.size
        assert row["confidence"] == pytest.approx(confidence.mean() / 255)
        for name, count in counts.items():
            assert row["share"][name] == count / labels.size
            assert float(text[f"{name} share"]) == pytest.approx(count / labels.size, abs=1e-6)
        ground = {name: count * 4 / 1e4 for name, count in counts.items()} if row["image"].endswith("a.tif") else None
        assert row["hectares"] == (ground and pytest.approx(ground))
        assert (text["red ha"] == "") == (ground is None)
        assert (row["state"], row["sentence"]) == ("done", None)
        assert row["seconds"] > 0
        assert row["map"] == text["map"] == "prediction"
    assert "px, shares and hectares of the predicted classes: corrections do not count here" in outcome.out
    assert told["all"]["px"] == sum(row["px"] for row in told["images"])
    assert "red, ha" in outcome.out
    assert all(line in outcome.out for line in (str(tiles / "a.tif"), "  all\n"))


def test_a_second_run_computes_nothing_and_has_the_whole_table(
    job: Callable[..., Any], tiles: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert job(tiles / "a.tif", tiles / "b.png", "--out", out).code == 0
    before = rows(out)
    chunks = {path: path.stat().st_mtime_ns for path in out.rglob("c/*/*")}
    outcome = job(str(tiles / "*"), "--out", out)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("complete already") == 2
    after = rows(out)
    assert list(after) == ["a.tif", "b.png", "c.jpg", "d.ome.zarr"]
    assert {name: after[name] for name in before} == before, "seconds, too"
    assert {path: path.stat().st_mtime_ns for path in chunks} == chunks
    (out / TABLE).unlink()
    assert job(tiles / "c.jpg", "--out", out).code == 0, "one image into a folder of results"
    assert job(tiles / "b.png", tiles / "d.ome.zarr", "--out", out).code == 0
    assert list(rows(out)) == ["b.png", "d.ome.zarr", "c.jpg"], "rows of other images stay"
    shutil.rmtree(out / "c.tiny.fctl.ome.zarr")
    assert job(tiles / "b.png", tiles / "d.ome.zarr", "--out", out).code == 0
    assert list(rows(out)) == ["b.png", "d.ome.zarr"]
    assert rows(out)["b.png"]["seconds"] == ""


def test_what_was_begun_goes_on(
    job: Callable[..., Any], tiles: Path, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    out = tmp_path / "out"
    Image.fromarray(make_rgb(200, 300)).save(tiles / "b.png")
    store = out / "b.tiny.fctl.ome.zarr"
    assert job(tiles / "b.png", "--out", store, "--region", 0, 0, 40, 40).code == 0
    part = Segmentation.open(store).done()
    assert 0 < part.sum() < part.size
    outcome = job(tiles / "a.tif", tiles / "b.png", "--out", out)
    assert outcome.code == 0, outcome.err
    assert f"{tiles / 'b.png'}: resumed, {part.size - part.sum()} tiles in " in outcome.err
    assert [row["state"] for row in rows(out).values()] == ["done", "resumed"]
    assert Segmentation.open(store).done().all()
    assert job(tiles / "a.tif", tiles / "b.png", "--out", out).code == 0
    assert [row["state"] for row in rows(out).values()] == ["done", "resumed"]


def test_an_image_that_fails_stops_no_other(job: Callable[..., Any], tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = (tiles / "b.png").read_bytes()
    (tiles / "b.png").write_bytes(whole[:900])
    outcome = job(tiles, tmp_path / "gone.tif", "--out", out)
    assert outcome.code == 2
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith(f"fctl: 2 of 5 images failed ({tiles / 'b.png'}, {tmp_path / 'gone.tif'}); ")
    assert "Traceback" not in outcome.err
    found = rows(out)
    assert [row["state"] for row in found.values()] == ["done", "failed", "done", "done", "failed"]
    assert found["b.png"]["sentence"].startswith(f"{tiles / 'b.png'}: ")
    assert found["b.png"]["sentence"] in outcome.err
    assert "there is no such file" in found["gone.tif"]["sentence"]
    assert (found["b.png"]["px"], found["b.png"]["result"]) == ("", "")
    (tiles / "b.png").write_bytes(whole)
    outcome = job(tiles, "--out", out)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("complete already") == 3
    assert {row["state"] for name, row in rows(out).items() if name != "gone.tif"} == {"done"}


def test_an_image_that_was_changed_is_segmented_afresh_alone(
    job: Callable[..., Any], tiles: Path, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    out = tmp_path / "out"
    assert job(tiles, "--out", out).code == 0
    Image.fromarray(make_rgb(64, 64, seed=9)).save(tiles / "b.png")
    outcome = job(tiles, "--out", out)
    assert outcome.code == 2
    assert outcome.err.count("complete already") == 3
    assert "--fresh" in rows(out)["b.png"]["sentence"]
    assert job(tiles / "b.png", "--out", out, "--fresh").code == 0
    assert [row["state"] for row in rows(out).values()] == ["done"] * 4
    outcome = job(tiles, "--out", out)
    assert (outcome.code, outcome.err.count("complete already")) == (0, 4)
    assert len(list(out.glob("*.ome.zarr"))) == 4


def test_images_of_one_name_have_results_of_their_own(
    job: Callable[..., Any], tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    blank = np.full((64, 64, 3), 90, np.uint8)
    files = [tmp_path / name / "1.tif" for name in ("a", "b", "c")]
    for number, (file, pixels) in enumerate(zip(files, (blank, make_rgb(64, 64), blank), strict=True)):
        write_tif(file, pixels, east=5e5 + 128 * number)
    out = tmp_path / "out"
    for order in (files, files[::-1]):
        outcome = job(*order, "--out", out)
        assert outcome.code == 0, outcome.err
        paths = {str(file): Segmentation.open(out / name).image_path for file, name in _results(out).items()}
        assert paths == {str(file): str(file) for file in files}
        assert sorted(_results(out).values()) == [f"1{n}.tiny.fctl.ome.zarr" for n in ("-2", "-3", "")]
    assert outcome.err.count("complete already") == 3
    assert [Segmentation.open(out / _results(out)[str(file)]).georeference.transform[2] for file in files] == [
        5e5,
        5e5 + 128,
        5e5 + 256,
    ]


def _results(out: Path) -> dict[str, str]:
    with (out / TABLE).open(newline="") as file:
        return {row["image"]: row["result"] for row in csv.DictReader(file)}


def test_what_is_of_one_image_is_refused(job: Callable[..., Any], tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for options in (
        ("--region", 0, 0, 9, 9),
        ("--image", 1),
        ("--inherit", out),
        ("--corrections", out),
        ("--save-logits", tmp_path / "l.npy"),
    ):
        assert f"{options[0]} is of one image, and several are" in job(tiles, "--out", out, *options).sentence()
    for name in ("s.ome.zarr", "s.tif", "s.zarr"):
        said = job(tiles, "--out", tmp_path / name).sentence()
        assert f"{name}: is the name of one segmentation or file" in said
    assert "matches no file" in job(str(tiles / "*.jp2"), "--out", out).sentence()
    assert "maps are of single tiles" in job(tiles, "--out", out, "--maps", "--merge", "average").sentence()
    assert not out.exists()
    out.mkdir()
    (out / TABLE).write_text("a,b\n1,2\n")
    assert "is no table of segmented images" in job(tiles, "--out", out).sentence()


def test_a_mosaic_is_one_image(job: Callable[..., Any], tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> None:
    """A VRT of two tiles side by side, alone and with its tiles, which count once."""
    pixels = make_rgb(64, 128, seed=5)
    for number in (0, 1):
        write_tif(tmp_path / "t" / f"{number}.tif", pixels[:, 64 * number : 64 * number + 64], east=5e5 + 128 * number)
    with rasterio.open(tmp_path / "t" / "0.tif") as first:
        wkt = first.crs.to_wkt().replace('"', "&quot;")
    source = (
        '<SimpleSource><SourceFilename relativeToVRT="1">{n}.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        '<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/><DstRect xOff="{x}" yOff="0" xSize="64" ySize="64"/>'
        "</SimpleSource>"
    )
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{color}</ColorInterp>'
        f"{''.join(source.format(n=n, band=band, x=64 * n) for n in (0, 1))}</VRTRasterBand>"
        for band, color in enumerate(("Red", "Green", "Blue"), 1)
    )
    mosaic = tmp_path / "t" / "mosaic.vrt"
    mosaic.write_text(
        f'<VRTDataset rasterXSize="128" rasterYSize="64"><SRS>{wkt}</SRS>'
        f"<GeoTransform>500000, 2, 0, 5000000, 0, -2</GeoTransform>{bands}</VRTDataset>"
    )
    assert job(mosaic, "--out", tmp_path / "m.ome.zarr").code == 0
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    assert job(tmp_path / "whole.png", "--out", tmp_path / "w.ome.zarr").code == 0
    one, other = (Segmentation.open(tmp_path / name) for name in ("m.ome.zarr", "w.ome.zarr"))
    np.testing.assert_array_equal(one.labels.read((0, 0, 64, 128)), other.labels.read((0, 0, 64, 128)))
    assert one.georeference is not None
    outcome = job(str(tmp_path / "t" / "*"), "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "2 images; left out: copies and mosaics of the images (1)" in outcome.err
    assert [row["red ha"] != "" for row in rows(tmp_path / "out").values()] == [True, True]


def test_files_and_addresses_go_together(
    job: Callable[..., Any], tiles: Path, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    served = shutil.copytree(tiles, tmp_path / "served")
    with rasterio.open(tiles / "a.tif") as image:
        pixels = image.read()
    with rasterio.open(
        served / "a.tif",
        "w",
        driver="GTiff",
        count=3,
        width=90,
        height=70,
        dtype="uint8",
        tiled=True,
        blockxsize=64,
        blockysize=64,
    ) as made:
        made.write(pixels)
    url = f"{serve(served).url}/a.tif"
    for _ in range(2):
        outcome = job(url, tiles / "a.tif", tiles / "b.png", "--out", tmp_path / "out")
        assert outcome.code == 0, outcome.err
        found = _results(tmp_path / "out")
        assert found == {
            url: "a.tiny.fctl.ome.zarr",
            str(tiles / "a.tif"): "a-2.tiny.fctl.ome.zarr",
            str(tiles / "b.png"): "b.tiny.fctl.ome.zarr",
        }
    assert outcome.err.count("complete already") == 3


def test_one_engine_serves_all_and_an_interrupt_loses_no_row(
    tiles: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    networks: set[str] = set()
    measure = class_areas.class_areas

    class Counted(engines.Engine):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    def where_it_lies() -> str:
        from fctl_napari.segmentation.jobs.loaded_networks import loaded

        return f"{os.getpid()} {[id(one.predictor) for one in loaded.values()]}"

    def interrupted(store: Segmentation, **options: Any) -> Any:
        networks.update(made[0]._workers.client().run(where_it_lies).values())
        if store.path.name.startswith("c"):
            raise KeyboardInterrupt
        return measure(store, **options)

    monkeypatch.setattr(engines, "Engine", Counted)
    monkeypatch.setattr(class_areas, "class_areas", interrupted)
    request = SegmentationRequest(image="", out="", checkpoint=str(tiny_checkpoint), device="cpu")
    with pytest.raises(KeyboardInterrupt):
        segment_several([str(tiles)], tmp_path / "out", request, None, None)
    assert len(made) == 1
    assert len(networks) == 1, "loaded once, in one process"
    found = rows(tmp_path / "out")
    assert [row["state"] for row in found.values()] == ["done", "done", "waiting", "waiting"]
    assert [row["px"] != "" for row in found.values()] == [True, True, False, False]
