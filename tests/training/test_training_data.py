import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import make_config
from fctl_napari.model.presets import preset
from fctl_napari.model.windows import Dihedral
from fctl_napari.training.augment import collate
from fctl_napari.training.config import AugmentSettings
from fctl_napari.training.data import Scene, TileSampler, open_scenes, read_ground_truth
from fctl_napari.training.data_settings import DataSettings, SceneSettings
from fctl_napari.training.scene_identity import names_of, scene_digest, scene_fingerprint
from fctl_napari.training.validate import counted_ground_truth

TABLE = ClassTable(
    classes=(
        ClassInfo(name="a", color=(255, 0, 0)),
        ClassInfo(name="b", color=(0, 255, 0)),
        ClassInfo(name="unlabelled", color=(0, 0, 0), ignored=True),
    )
)
CONTEXTS = ({"name": "local"}, {"name": "medium", "scale": 2.0}, {"name": "large", "scale": "global"})
CONFIG = make_config(
    encoder="efficientnet_lite0", tile_size=64, correlation_stride=16, classes=2, contexts=CONTEXTS, ale_windows=(3,)
)
STILL = AugmentSettings(dihedral=False, brightness=0, contrast=0, saturation=0)


@pytest.fixture
def folder(tmp_path):
    """Two scenes whose red channel is their truth, so that any misplacement shows."""
    rng = np.random.default_rng(0)
    for name, (h, w) in {"one": (150, 210), "two": (90, 300)}.items():
        ground_truth = np.kron(rng.integers(0, 3, (h // 30, w // 30)), np.ones((30, 30))).astype(np.uint8)
        image = np.stack([ground_truth * 100, np.full_like(ground_truth, 50), np.full_like(ground_truth, 90)], -1)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        Image.fromarray(ground_truth).save(tmp_path / f"{name}_truth.png")
    return tmp_path


def scenes_of(folder, **settings):
    scenes = (
        SceneSettings(image="one.png", truth="one_truth.png", group="1"),
        SceneSettings(image="two.png", truth="two_truth.png", group="2"),
    )
    return open_scenes(DataSettings(classes=TABLE, scenes=scenes, **settings), folder)[0]


def test_ignored_classes_are_ignored_and_a_held_out_group_is_not_trained_on(folder):
    scenes = scenes_of(folder, holdout="2")
    assert set(np.unique(scenes[0].ground_truth)) <= {0, 1, 255}
    assert [bool(s.train) for s in scenes] == [True, False]
    assert [bool(s.val) for s in scenes] == [False, True]
    sampler = TileSampler(scenes, CONFIG, STILL, 0.5, seed=0)
    assert {s.scene for step in range(8) for s in sampler.batch(step, 4)} == {0}


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_ground_truth_lies_on_the_image(folder, scale):
    sampler = TileSampler(scenes_of(folder), CONFIG, AugmentSettings(scale=scale), 0.5, seed=3)
    for sample in sampler.batch(0, 8):
        red = sample.inputs.tile[0].astype(int)
        labelled = sample.ground_truth != 255
        # away from edges, where resampling mixes
        near = np.abs(red - sample.ground_truth.astype(int) * 100) < 30
        assert near[labelled].mean() > 0.9


def test_a_step_draws_the_same_tiles_whenever_it_is_asked(folder):
    scenes = scenes_of(folder)
    first = TileSampler(scenes, CONFIG, STILL, 0.5, seed=1)
    second = TileSampler(scenes, CONFIG, STILL, 0.5, seed=1)
    first.batch(0, 4)
    for a, b in zip(first.batch(5, 4), second.batch(5, 4), strict=True):
        assert np.array_equal(a.inputs.tile, b.inputs.tile)
        assert np.array_equal(a.ground_truth, b.ground_truth)


@given(
    st.tuples(st.floats(-50, 200), st.floats(-50, 200)), st.floats(10, 120), st.integers(4, 40), st.integers(0, 2**31)
)
@settings(max_examples=50, deadline=None)
def test_read_ground_truth_is_nearest_and_ignores_the_outside(corner, span, size, seed):
    ground_truth = np.random.default_rng(seed).integers(0, 5, (100, 130)).astype(np.uint8)
    y0, x0 = corner
    region = (0, 20, 100, 110)
    out = read_ground_truth(ground_truth, (y0, x0, y0 + span, x0 + span), size, region)
    for i in range(0, size, 3):
        for j in range(0, size, 3):
            y, x = int(np.floor(y0 + (i + 0.5) / size * span)), int(np.floor(x0 + (j + 0.5) / size * span))
            inside = region[0] <= y < region[2] and region[1] <= x < region[3]
            assert out[i, j] == (ground_truth[y, x] if inside else 255)


@given(st.booleans(), st.integers(0, 3), st.integers(0, 2**31))
@settings(deadline=None)
def test_turned_windows_lie_where_the_turned_pixels_lie(flip, turns, seed):
    rng = np.random.default_rng(seed)
    world = rng.integers(0, 255, (40, 60)).astype(np.uint8)
    y0, x0 = rng.integers(0, 30, 2)
    window = np.array([y0, x0, y0 + 7, x0 + 9], float)
    turn = Dihedral(flip, turns)
    turned = turn.pixels(world)
    top, left = turn.window(np.array([0.0, 0.0, 40.0, 60.0]))[:2]
    a, b, c, d = (turn.window(window) - [top, left, top, left]).astype(int)
    assert np.array_equal(turned[a:c, b:d], turn.pixels(world[y0 : y0 + 7, x0 : x0 + 9]))


def test_a_shared_context_is_kept_once_and_found_again(folder):
    sampler = TileSampler(scenes_of(folder), CONFIG, STILL, 0.5, seed=2)
    samples = sampler.batch(0, 6)
    batch = collate(samples, STILL, np.random.default_rng(0))
    assert len(batch.contexts["large"]) == len({s.scene for s in samples})
    for name in ("medium", "large"):
        for i, sample in enumerate(samples):
            pixels = batch.contexts[name][batch.indices[name][i]]
            assert np.allclose(pixels.numpy(), sample.inputs.contexts[name], atol=1e-3)
    assert np.allclose(batch.tile.numpy(), np.stack([s.inputs.tile for s in samples]), atol=1e-3)
    size = batch.windows["tile"][:, 2:] - batch.windows["tile"][:, :2]
    assert np.allclose(size, 64, atol=1e-3)


def test_a_ground_truth_of_another_size_is_one_sentence(folder):
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(folder / "one_truth.png")
    with pytest.raises(InputError, match=r"one_truth\.png: is 10 x 10 px"):
        scenes_of(folder)


def test_a_class_beyond_the_table_is_one_sentence(folder):
    Image.fromarray(np.full((150, 210), 9, np.uint8)).save(folder / "one_truth.png")
    with pytest.raises(InputError, match=r"one_truth\.png: holds class 9"):
        TileSampler(scenes_of(folder), CONFIG, STILL, 0.5, seed=0)


@given(st.lists(st.tuples(*[st.integers(-10, 60)] * 4), max_size=3), st.tuples(*[st.integers(0, 49)] * 2))
@settings(max_examples=50, deadline=None)
def test_only_regions_of_a_core_count(corners, start):
    ground_truth = np.arange(2500, dtype=np.uint8).reshape(50, 50) % 5
    regions = [(min(a, b), min(c, d), max(a, b), max(c, d)) for a, b, c, d in corners]
    inside = np.zeros((50, 50), bool)
    for y0, x0, y1, x1 in regions:
        inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    core = (*start, min(start[0] + 17, 50), min(start[1] + 9, 50))
    scene = Scene("s", None, ground_truth, (), (), ())
    expected = np.where(inside, ground_truth, 255)[core[0] : core[2], core[1] : core[3]]
    assert np.array_equal(counted_ground_truth(scene, regions, core), expected)


def test_a_ground_truth_in_memory_and_on_disk_are_one(folder):
    for scene in scenes_of(folder):
        copy = Scene(scene.name, scene.pyramid, np.asarray(scene.ground_truth), scene.train, scene.val, scene.test)
        assert scene_digest(copy) == scene_digest(scene)
        with pytest.raises(TypeError, match="read a ground truth before"):
            assert scene.ground_truth != 255
        window = (-3.5, 20.0, 60.5, 84.0)
        region = (0, 0, *scene.ground_truth.shape)
        assert np.array_equal(
            read_ground_truth(copy.ground_truth, window, 32, region),
            read_ground_truth(scene.ground_truth, window, 32, region),
        )


def test_a_ground_truth_in_pieces_is_counted_whole(folder, monkeypatch):
    scenes = scenes_of(folder)
    whole = TileSampler(scenes, CONFIG, STILL, 0.5, seed=0)
    monkeypatch.setattr("fctl_napari.windows.PIECE_PX", 4000)
    pieces = TileSampler(scenes, CONFIG, STILL, 0.5, seed=0)
    assert np.array_equal(pieces.class_shares(), whole.class_shares())
    for k, positions in enumerate(pieces._positions):
        for index, y, x in positions[::97]:
            assert scenes[index].ground_truth[y : y + 1, x : x + 1] == k
    digest = scene_digest(scenes[0])
    monkeypatch.undo()
    assert digest == scene_digest(scenes[0])


def test_a_card_knows_a_scene_by_its_pixels_and_its_ground_truth(tmp_path):
    import rasterio
    from rasterio.enums import Resampling

    pixels = np.random.default_rng(0).integers(0, 256, (3, 2100, 600), np.uint8)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=600, height=2100, count=3, dtype="uint8") as file:
        file.write(pixels)
    ground_truth = np.zeros((2100, 600), np.uint8)

    def scene(name="a", labels=ground_truth):
        return Scene(name, open_image(tmp_path / "a.tif"), labels, (), (), ())

    cards = {"a": scene_fingerprint(scene())}, {"a": scene_digest(scene())}  # of today, of before 0.2
    others = {"b": scene_fingerprint(scene(labels=ground_truth + 1))}
    for card in cards:
        assert names_of(scene("renamed"), others | card) == ["a"]
        assert names_of(scene(labels=ground_truth + 1), card) == []
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.build_overviews([2], Resampling.average)
    assert names_of(scene(), cards[0]) == ["a"]
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.write(pixels[:, ::-1])
    assert names_of(scene(), cards[0]) == []


def test_images_of_16_bits_are_read_as_is_stated(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4000, (70, 90, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "b.png")
    Image.fromarray(rng.integers(0, 2, (70, 90), np.uint8)).save(tmp_path / "truth.png")
    classes = ClassTable(classes=[ClassInfo(name=n, color=(0, 0, 0)) for n in "ab"])
    for name, shown in (("a.tif", {"value_range": (0, 3000), "bands": (3, 0, 1)}), ("b.png", {"value_range": (9, 99)})):
        scenes = [{"image": name, "truth": "truth.png"}]
        (scene,), _ = open_scenes(DataSettings(classes=classes, scenes=scenes, **shown), tmp_path)
        expected = open_image(tmp_path / name, **shown).read((0, 0, 70, 90))
        np.testing.assert_array_equal(scene.pyramid.read((0, 0, 70, 90)), expected)
        unstated, _ = open_scenes(DataSettings(classes=classes, scenes=scenes), tmp_path)
        with pytest.raises(InputError, match=r"--range LO HI|--bands R G B"):
            TileSampler(unstated, preset("unet", classes=2), STILL, 0.0, 0)
    assert DataSettings(sample=True).model_dump().keys() & {"value_range", "bands"} == set()
    stated = DataSettings(sample=True, bands=(2, 1, 0))
    assert DataSettings.model_validate_json(stated.model_dump_json()) == stated


def test_values_of_ground_truths_are_the_classes_that_are_stated(folder):
    plain = scenes_of(folder)[0].ground_truth
    image = np.asarray(Image.open(folder / "one.png"))[..., 0] // 100
    named = scenes_of(folder, values={0: "b", 1: "", 2: "a"})[0].ground_truth
    assert np.array_equal(np.asarray(named), np.array([1, 255, 0])[image])
    assert np.array_equal(np.asarray(plain), np.array([0, 1, 255])[image])
    with pytest.raises(InputError, match=r"holds the value 2, which is not mapped; .* in \[data\] values of the train"):
        np.asarray(scenes_of(folder, values={0: "b", 1: "a"})[0].ground_truth)
    with pytest.raises(ValueError, match=r"values name 'c', the classes are a, b"):
        scenes_of(folder, values={0: "c"})
    with pytest.raises(ValueError, match=r"classes\.json"):
        DataSettings(layout="pairs", values={0: "a"})
    assert "values" not in DataSettings(layout="pairs").model_dump()
    Image.fromarray(image + 3).save(folder / "one_truth.png")  # without stated values, the message says where to do so
    with pytest.raises(InputError, match=r"class table ends at 2; .*\[data\] values"):
        np.asarray(scenes_of(folder)[0].ground_truth)


def test_stated_values_are_refused_for_masks_of_colors(folder):
    image = np.asarray(Image.open(folder / "one.png"))[..., 0] // 100
    Image.fromarray(np.array([c.color for c in TABLE], np.uint8)[image]).save(folder / "one_truth.png")
    colored = scenes_of(folder)[0].ground_truth
    assert np.array_equal(np.asarray(colored), np.array([0, 1, 255])[image])
    with pytest.raises(InputError, match=r"one_truth\.png: is a mask of colors, .* so \[data\] values .*leave"):
        np.asarray(scenes_of(folder, values={0: "b", 1: "a", 2: ""})[0].ground_truth)
