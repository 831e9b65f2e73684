"""The ablation by band: what a network loses without each of its bands."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_ablation import recipe
from helpers_bands import write_four_bands
from helpers_commands import Fctl

from fctl_napari.ablation.bands import ALL, BANDS, band_rows
from fctl_napari.ablation.plan import AblationRequest, make_plan
from fctl_napari.ablation.report import report
from fctl_napari.ablation.results import read_results
from fctl_napari.ablation.run import run_ablation
from fctl_napari.exceptions import ConfigError
from fctl_napari.model.bands import Band
from fctl_napari.training.config import TrainConfig

NAMES = ("red", "green", "blue", "nir")


def bands_of(*names: str) -> list[Band]:
    return [Band(name=name) for name in names]


def test_each_band_is_left_out_once() -> None:
    rows = band_rows(bands_of(*NAMES))
    kept = {row.name: [band["name"] for band in row.fields()["bands"]] for row in rows}
    assert kept.pop(ALL) == list(NAMES)
    assert {name: set(NAMES) - set(left) for name, left in kept.items()} == {
        f"bands-without-{name}": {name} for name in NAMES
    }


def test_of_more_than_four_red_green_and_blue_are_a_row_too() -> None:
    last = band_rows(bands_of(*NAMES, "swir1"))[-1]
    assert [band["name"] for band in last.fields()["bands"]] == ["red", "green", "blue"]


def test_a_recipe_without_bands_is_refused(fctl: Fctl, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set network\.bands"):
        band_rows([])
    said = fctl("ablate", "run", "bands", "--recipe", "earth", "--out", tmp_path).sentence()
    assert "--set network.bands" in said
    assert "choose among bands" in fctl("ablate", "run", "7", "--out", tmp_path).sentence()


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> AblationRequest:
    """The made set, whose third scene is measured, with a network of two bands."""
    pytest.importorskip("rasterio")
    folder = tmp_path_factory.mktemp("bands")
    fields = recipe().model_dump()
    network = fields["network"] | {"bands": ["red", "nir"], "contexts": [], "ale": "none"}
    changed = {"data": {"layout": "auto"}, "network": network, "init_from": ""}
    own = TrainConfig.model_validate(fields | changed)
    write_four_bands(folder / "set")
    return AblationRequest((BANDS,), own, folder / "out", folder / "set", seeds=1, steps=1, device="cpu", workers=1)


def test_rows_differ_in_their_bands_alone(request_: AblationRequest) -> None:
    trainings = make_plan(request_).trainings
    first, *others = (training.network for training in trainings)
    assert first.band_names == ("red", "nir")
    assert [network.band_names for network in others] == [("nir",), ("red",)]
    for network in others:
        assert network.model_copy(update={"bands": first.bands}) == first
        assert set(network.bands) < set(first.bands)  # ranges and figures are those of the same measurement


@pytest.mark.nightly  # a worker process that loads torch; by day `test_rows_differ_in_their_bands_alone` stands in
def test_the_table_is_trained_and_reported(request_: AblationRequest) -> None:
    results = read_results(run_ablation(request_))
    assert {result.row for result in results} == {ALL, "bands-without-red", "bands-without-nir"}
    text = report(results)
    assert "### Bands: what each brings" in text
    assert text.index("all bands: red, nir") < text.index("without nir")
    assert "paper" not in text
