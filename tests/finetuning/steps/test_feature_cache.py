from __future__ import annotations

import torch

from fctl_napari.finetuning.steps.feature_cache import FeatureCache


def arrays(seed):
    generator = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(100, generator=generator), "b": torch.randn(50, generator=generator).bfloat16()}


def test_what_does_not_fit_lies_on_disk_and_comes_back_to_the_bit(tmp_path):
    cache = FeatureCache(1200, tmp_path / "f")  # two of 500 bytes
    for _ in range(3):
        for seed in range(6):
            found = cache.get(f"tile {seed}", lambda seed=seed: arrays(seed))
            for name, array in arrays(seed).items():
                assert torch.equal(found[name], array)
                assert found[name].dtype == array.dtype
            assert cache.held <= 1200
    assert cache.made == 6
    assert len(list((tmp_path / "f").iterdir())) == 6
    cache.close()
    assert not (tmp_path / "f").exists()


def test_without_memory_everything_is_read_from_disk(tmp_path):
    cache = FeatureCache(0, tmp_path / "f")
    for _ in range(2):
        assert torch.equal(cache.get("x", lambda: arrays(1))["a"], arrays(1)["a"])
    assert (cache.made, cache.held) == (1, 0)


def test_where_nothing_can_be_written_things_are_made_anew(tmp_path):
    (tmp_path / "file").write_text("")
    cache = FeatureCache(0, tmp_path / "file" / "f")
    for _ in range(2):
        assert torch.equal(cache.get("x", lambda: arrays(1))["a"], arrays(1)["a"])
    assert cache.made == 2


def test_leftovers_of_a_killed_run_are_not_taken_up(tmp_path):
    FeatureCache(0, tmp_path / "f").get("x", lambda: arrays(1))
    cache = FeatureCache(0, tmp_path / "f")
    assert torch.equal(cache.get("x", lambda: arrays(2))["a"], arrays(2)["a"])
