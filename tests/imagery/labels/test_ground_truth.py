"""Truth reads as class indices, 255 where there is none, whatever holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth, as_classes
from fctl_napari.imagery.labels.color_key import palette_key
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.label_source import LabelSource

INDICES = np.random.default_rng(0).integers(0, 6, (70, 90), dtype=np.uint8)
INDICES[10:20] = 255
CLASSES = [{"name": f"class {k}", "color": (k, k, k)} for k in range(6)]


def check(source: LabelSource) -> None:
    assert source.shape == (70, 90)
    assert np.array_equal(source.read((0, 0, 70, 90)), INDICES)
    padded = np.pad(INDICES, 5, constant_values=255)
    assert np.array_equal(source.read((-5, -5, 75, 95)), padded)
    assert np.array_equal(source.read((7, 8, 33, 34)), INDICES[7:33, 8:34])
    assert source.read((0, 0, 1, 1)).dtype == np.uint8


def label_at(path: Path) -> Path:
    labels = LabelPyramid.create(path, (70, 90), chunk=32, classes=CLASSES)
    labels.write(0, 0, INDICES + np.uint8(1))  # 255 wraps to 0, not labelled
    return path


def test_png(tmp_path: Path) -> None:
    Image.fromarray(INDICES).save(tmp_path / "t.png")
    check(open_ground_truth(tmp_path / "t.png"))
    assert open_ground_truth(tmp_path / "t.png").class_names is None


def test_png_with_a_palette_gives_indices_not_colors(tmp_path: Path) -> None:
    image = Image.fromarray(INDICES)
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "t.png")
    assert Image.open(tmp_path / "t.png").mode == "P"
    check(open_ground_truth(tmp_path / "t.png"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_tiff(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "t.tif", INDICES.astype(dtype), tile=(32, 32), compression="zlib")
    check(open_ground_truth(tmp_path / "t.tif"))


def test_tiff_with_a_palette_gives_indices_not_colors(tmp_path: Path) -> None:
    colors = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) * 80
    tifffile.imwrite(tmp_path / "t.tif", INDICES, photometric="palette", colormap=colors)
    check(open_ground_truth(tmp_path / "t.tif"))


def test_label_group(tmp_path: Path) -> None:
    source = open_ground_truth(label_at(tmp_path / "t.zarr"))
    check(source)
    assert source.class_names == tuple(f"class {k}" for k in range(6))


def test_the_label_of_an_image(tmp_path: Path) -> None:
    image = convert(pyramid_from_array(np.zeros((70, 90, 3), np.uint8)), tmp_path / "i.zarr")
    with pytest.raises(InputError, match="without labels"):
        open_ground_truth(image)
    label_at(image / "labels" / "mine")
    check(open_ground_truth(image))
    LabelPyramid.create(image / "labels" / "other", (70, 90), classes=CLASSES)
    with pytest.raises(InputError, match="name one of them"):
        open_ground_truth(image)
    label_at(image / "labels" / "truth")
    check(open_ground_truth(image))


def test_a_foreign_label_group(tmp_path: Path) -> None:
    """NGFF 0.4, zarr v2, int32, five axes, no names."""
    group = zarr.create_group(tmp_path / "t.zarr", zarr_format=2)
    values = (INDICES.astype(np.int32) + 1) % 256
    group.create_array("0", data=values[None, None, None], chunks=(1, 1, 1, 32, 32))
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["image-label"] = {"version": "0.4"}
    source = open_ground_truth(tmp_path / "t.zarr")
    check(source)
    assert source.class_names is None


def test_values_that_are_no_class_are_refused(tmp_path: Path) -> None:
    for name, value in (("high", 300), ("low", -1)):
        values = INDICES.astype(np.int16)
        values[50, 50] = value
        tifffile.imwrite(tmp_path / f"{name}.tif", values)
        source = open_ground_truth(tmp_path / f"{name}.tif")
        with pytest.raises(InputError, match="class indices"):
            source.read((0, 0, 70, 90))


def test_what_is_no_ground_truth_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4), np.float32))
    Image.fromarray(INDICES).save(tmp_path / "lossy.jpg")
    (tmp_path / "folder").mkdir()
    for name in ("colour.png", "colour.tif", "float.tif", "lossy.jpg", "folder", "missing.png"):
        with pytest.raises(InputError, match=name):
            open_ground_truth(tmp_path / name)


def test_truncated_ground_truth_is_refused(tmp_path: Path) -> None:
    Image.fromarray(INDICES).save(tmp_path / "t.png")
    tifffile.imwrite(tmp_path / "t.tif", INDICES)
    for name in ("t.png", "t.tif"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(InputError, match="truncated"):
            open_ground_truth(tmp_path / name)


# -- masks by their values -------------------------------------------------------------------------------------------

WATER, FOREST, ROAD = COLORS = [(10, 80, 200), (30, 140, 40), (200, 60, 60)]
VALUES = np.kron(np.random.default_rng(1).integers(0, 3, (7, 9)), np.ones((10, 10), int)).astype(np.uint8)
ALL = (0, 0, 70, 90)


def palette_file(path: Path, indices: np.ndarray, palette: list[tuple[int, int, int]], **info: object) -> Path:
    """A PNG, a TIFF or a GeoTIFF of indices with colors."""
    if path.suffix == ".png":
        image = Image.fromarray(indices, "P")
        image.putpalette([part for color in palette for part in color])
        image.save(path, **info)
    elif path.stem == "geo":
        import rasterio

        profile = {"driver": "GTiff", "width": 90, "height": 70, "count": 1, "dtype": "uint8", "photometric": "palette"}
        with rasterio.open(path, "w", **profile, **info) as dataset:
            dataset.write_colormap(1, dict(enumerate(palette)))
            dataset.write(indices, 1)
    else:
        colors = np.zeros((3, 256), np.uint16)
        colors[:, : len(palette)] = np.array(palette).T * 257
        tifffile.imwrite(path, indices, photometric="palette", colormap=colors, tile=(32, 32))
    return path


FILES = ("a.png", "a.tif", "geo.tif")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]])
def test_a_palette_of_the_classes_colors_is_read_by_them(tmp_path: Path, name: str, order: list[int]) -> None:
    indices = np.argsort(order).astype(np.uint8)[VALUES]
    path = palette_file(tmp_path / name, indices, [COLORS[k] for k in order])
    source = open_ground_truth(path, COLORS)
    assert np.array_equal(source.read(ALL), VALUES)
    assert bool(source.note) == (order != [0, 1, 2])
    assert np.array_equal(open_ground_truth(path, COLORS, by_value=True).read(ALL), indices)
    assert np.array_equal(open_ground_truth(path).read(ALL), indices)


@pytest.mark.parametrize("name", FILES)
def test_only_some_of_the_classes_may_occur(tmp_path: Path, name: str) -> None:
    few = np.where(VALUES == 0, 1, VALUES).astype(np.uint8)
    path = palette_file(tmp_path / name, 2 - few, [ROAD, FOREST])
    assert np.array_equal(open_ground_truth(path, COLORS).read(ALL), few)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "palette",
    [
        [(k, k, k) for k in range(256)],  # a grey ramp
        [(128, 0, 0), (0, 128, 0), (128, 128, 0)],
        [(0, 0, 0)] * 3,
    ],
)
def test_a_palette_of_other_colors_says_nothing(tmp_path: Path, name: str, palette: list[tuple[int, int, int]]) -> None:
    path = palette_file(tmp_path / name, VALUES, palette)
    for colors in (COLORS, [(40, 40, 40), (1, 1, 1), (9, 0, 0)]):
        source = open_ground_truth(path, colors)
        assert np.array_equal(source.read(ALL), VALUES)
        assert not source.by_color


@pytest.mark.parametrize("name", FILES)
def test_greys_of_a_ramp_are_colors_where_the_classes_have_them(tmp_path: Path, name: str) -> None:
    ramp = [(k, k, k) for k in range(256)]
    path = palette_file(tmp_path / name, np.array([0, 255, 0], np.uint8)[VALUES], ramp)
    source = open_ground_truth(path, [(255, 255, 255), (0, 0, 0)])
    assert np.array_equal(source.read(ALL), np.array([1, 0, 1])[VALUES])
    assert source.note


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "palette",
    [
        [FOREST, WATER, (139, 0, 0)],  # a color of no class
        [FOREST, WATER, FOREST],  # two indices of one class
        [WATER, (9, 9, 9), ROAD],  # half as the classes are
    ],
)
def test_what_fits_neither_way_is_refused(tmp_path: Path, name: str, palette: list[tuple[int, int, int]]) -> None:
    path = palette_file(tmp_path / name, VALUES, palette)
    with pytest.raises(InputError, match=f"{name}: has a palette .* index"):
        open_ground_truth(path, COLORS)


@pytest.mark.parametrize("name", FILES)
def test_the_void_of_a_palette_is_no_class(tmp_path: Path, name: str) -> None:
    void = np.where(VALUES == 1, 255, VALUES).astype(np.uint8)
    path = palette_file(
        tmp_path / name, np.where(void == 255, 255, 2 - void), [ROAD, FOREST, WATER, *[(9, 9, 9)] * 253]
    )
    assert np.array_equal(open_ground_truth(path, COLORS).read(ALL), void)
    key = palette_key(np.array([ROAD, FOREST], np.uint8), np.zeros(2, bool), COLORS, lambda: [0, 1, 255], "short")
    assert key is not None
    assert key.indices(np.array([1, 255, 0])).tolist() == [1, 255, 2]
    with pytest.raises(InputError, match=r"its index 7 \(beyond its end\) belongs to no class"):
        key.indices(np.array([7]))
    # black fills palettes up, and is the first class too
    colors = [(0, 0, 0), FOREST, ROAD]
    path = palette_file(tmp_path / f"geo2-{name}", void, [*colors, *[(0, 0, 0)] * 253])
    assert np.array_equal(open_ground_truth(path, colors).read(ALL), void)
    mixed = palette_file(
        tmp_path / f"b-{name}", np.where(void == 255, 255, 2 - void), [*colors[::-1], *[(0, 0, 0)] * 253]
    )
    with pytest.raises(InputError, match="index 255"):
        open_ground_truth(mixed, colors)


def test_transparent_indices_and_values_are_no_class(tmp_path: Path) -> None:
    expected = np.where(VALUES == 1, 255, VALUES)
    palette_file(tmp_path / "p.png", VALUES, [WATER, (0, 0, 0), ROAD], transparency=1)
    palette_file(tmp_path / "q.png", 2 - VALUES, [ROAD, FOREST, WATER], transparency=b"\xff\0\xff")
    palette_file(tmp_path / "r.png", VALUES, [(k, k, k) for k in range(3)], transparency=1)
    Image.fromarray(np.where(VALUES == 1, 7, VALUES).astype(np.uint8)).save(tmp_path / "l.png", transparency=7)
    alpha = np.where(VALUES == 1, 0, 255).astype(np.uint8)
    Image.merge("LA", [Image.fromarray(VALUES), Image.fromarray(alpha)]).save(tmp_path / "la.png")
    Image.fromarray(np.array(COLORS, np.uint8)[VALUES]).save(tmp_path / "rgb.png", transparency=FOREST)
    Image.fromarray(np.dstack([np.array(COLORS, np.uint8)[VALUES], alpha])).save(tmp_path / "rgba.png")
    tifffile.imwrite(
        tmp_path / "rgba.tif",
        np.dstack([np.array(COLORS, np.uint8)[VALUES], alpha]),
        photometric="rgb",
        extrasamples=["unassalpha"],
    )
    for name in ("p.png", "q.png", "r.png", "l.png", "la.png", "rgb.png", "rgba.png", "rgba.tif"):
        assert np.array_equal(open_ground_truth(tmp_path / name, COLORS).read(ALL), expected), name


def test_one_bit_is_two_classes(tmp_path: Path) -> None:
    Image.fromarray(VALUES == 1).save(tmp_path / "bit.png")
    tifffile.imwrite(tmp_path / "bit.tif", VALUES == 1)
    for name in ("bit.png", "bit.tif"):
        source = open_ground_truth(tmp_path / name, COLORS)
        assert np.array_equal(source.read(ALL), (VALUES == 1).astype(np.uint8))
        mapped = MappedGroundTruth(source, ClassMapping(("a", "b", "c"), {0: 2, 1: 0}))
        assert np.array_equal(mapped.read(ALL), np.where(VALUES == 1, 0, 2))


def geotiff(path: Path, values: np.ndarray, nodata: float | None) -> Path:
    import rasterio

    height, width = values.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values, 1)
    return path


@pytest.mark.parametrize(
    ("dtype", "nodata"), [(np.int16, -9999), (np.uint16, 65535), (np.uint8, 200), (np.uint8, 255), (np.int32, -(2**31))]
)
def test_what_a_file_marks_as_no_data_is_no_class(tmp_path: Path, dtype: type, nodata: int) -> None:
    values = np.where(VALUES == 1, nodata, VALUES.astype(np.int64)).astype(dtype)
    expected = np.where(VALUES == 1, 255, VALUES)
    source = open_ground_truth(geotiff(tmp_path / "a.tif", values, nodata), COLORS)
    assert np.array_equal(source.read(ALL), expected)
    mapped = MappedGroundTruth(source, ClassMapping(("a", "b", "c"), {0: 0, 2: 2}))
    assert np.array_equal(mapped.read(ALL), expected)
    # without the mark it is refused, and can be stated
    source = open_ground_truth(geotiff(tmp_path / "b.tif", values, None), COLORS)
    if nodata != 255:
        if abs(nodata) > 255:
            with pytest.raises(InputError, match=f"{nodata} say"):
                source.read(ALL)
        mapped = MappedGroundTruth(source, ClassMapping(("a", "b", "c"), {0: 0, 2: 2, nodata: 255}))
        assert np.array_equal(mapped.read(ALL), expected)


def test_a_class_that_is_marked_as_no_data_is_asked_for(tmp_path: Path) -> None:
    source = open_ground_truth(geotiff(tmp_path / "a.tif", VALUES, 0), COLORS)
    with pytest.raises(InputError, match="marks the value 0 as no data"):
        source.read(ALL)
    mapped = MappedGroundTruth(source, ClassMapping(("a", "b", "c"), {0: 0, 1: 1, 2: 2}))
    assert np.array_equal(mapped.read(ALL), VALUES)
    with pytest.raises(InputError, match="the value 0, which is not mapped"):
        MappedGroundTruth(source, ClassMapping.for_ground_truth(source, ("a", "b", "c"))).read(ALL)


def test_classes_as_floats_need_their_values_stated(tmp_path: Path) -> None:
    values = np.where(VALUES == 1, np.nan, VALUES).astype(np.float32)
    path = geotiff(tmp_path / "a.tif", values, None)
    with pytest.raises(InputError, match=r"float32; save class indices .* or state what each value is"):
        open_ground_truth(path, COLORS)
    source = open_ground_truth(path, COLORS, by_value=True)
    mapped = MappedGroundTruth(source, ClassMapping(("a", "b", "c"), {0: 2, 2: 0}))
    assert np.array_equal(mapped.read(ALL), np.where(VALUES == 1, 255, 2 - VALUES))
    far = np.where(VALUES == 1, np.finfo(np.float32).min, VALUES).astype(np.float32)
    source = open_ground_truth(geotiff(tmp_path / "b.tif", far, float(np.finfo(np.float32).min)), by_value=True)
    assert np.array_equal(source.read(ALL), np.where(VALUES == 1, 255, VALUES))
    source = open_ground_truth(geotiff(tmp_path / "c.tif", VALUES + np.float32(0.5), None), by_value=True)
    with pytest.raises(InputError, match=r"holds the value .*5 .*no whole number"):
        source.read(ALL)


def foreign_label(path: Path, properties: list[dict[str, object]]) -> Path:
    group = zarr.create_group(path, zarr_format=3)
    group.create_array("0", data=VALUES, chunks=(32, 32))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": {"properties": properties}}
    return path


def test_labels_count_by_the_names_of_their_values(tmp_path: Path) -> None:
    table = ("road", "forest", "water")
    swapped = [{"label-value": 2, "name": "forest"}, {"label-value": 1, "name": "Water"}]
    found = as_classes(open_ground_truth(foreign_label(tmp_path / "a.zarr", swapped)), table)
    assert np.array_equal(found.read(ALL), np.array([255, 2, 1])[VALUES])
    zero = [{"label-value": 0, "name": "water"}, *({"label-value": k, "name": n} for k, n in ((1, "road"), (2, "ice")))]
    found = as_classes(open_ground_truth(foreign_label(tmp_path / "b.zarr", zero)), table)
    assert np.array_equal(found.read(ALL), np.array([2, 0, 255])[VALUES])
    assert found.note == "its ice count as no class"
    gap = [{"label-value": 2, "name": "water"}]
    found = as_classes(open_ground_truth(foreign_label(tmp_path / "c.zarr", gap)), table)
    with pytest.raises(InputError, match="holds the value 1, which is not mapped"):
        found.read(ALL)
    strange = [{"label-value": 1, "name": "eau"}, {"label-value": 2, "name": "bois"}]
    with pytest.raises(InputError, match="its classes are eau, bois, and none of them is one of road"):
        as_classes(open_ground_truth(foreign_label(tmp_path / "d.zarr", strange)), table)


def test_of_pages_of_one_size_none_is_taken_for_the_ground_truth(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "t.tif") as file:
        for page in range(2):
            file.write(np.full((40, 50), page, np.uint8), metadata=None)
    with pytest.raises(InputError, match="holds 2 images, several as large as the largest"):
        open_ground_truth(tmp_path / "t.tif")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("internal", [True, False])
def test_what_a_mask_hides_has_no_class(tmp_path: Path, internal: bool) -> None:
    rasterio = pytest.importorskip("rasterio")
    values = np.random.default_rng(0).integers(0, 3, (50, 60)).astype(np.uint8)
    valid = np.zeros((50, 60), bool)
    valid[:, 20:] = True
    profile = {"driver": "GTiff", "count": 1, "height": 50, "width": 60, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(tmp_path / "t.tif", "w", **profile) as file:
        file.write(values, 1)
        file.write_mask(valid)
    found = open_ground_truth(tmp_path / "t.tif").read((0, 0, 50, 60))
    assert np.array_equal(found, np.where(valid, values, 255))
