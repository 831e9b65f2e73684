"""What an ablation trains: each network once for each seed, with the same budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_ablation import BANDS, recipe, write_scene

from fctl_napari.ablation.plan import AblationRequest, Plan, make_plan
from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.training.config import load_train_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ablation")
    write_scene(found)
    return found


def plan(folder: Path, *tables: int, **fields: object) -> Plan:
    usual = {"recipe": recipe(), "out": folder / "out", "data_folder": folder, "seeds": 1, "device": "cpu"}
    return make_plan(AblationRequest(tables, **(usual | fields)))


def rows(found: Plan) -> list[list[str]]:
    return [[row.name for row in training.rows] for training in found.trainings]


def test_networks_that_stand_in_several_tables_are_trained_once(folder: Path) -> None:
    found = plan(folder, 3, 5, 6, seeds=2)
    assert len(found.trainings) == 2 * (9 + 3 + 10 - 2)
    full = ["table3-local-medium-large-gpe", "table5-adaptive", "table6-none"]
    assert [training.config.seed for training in found.trainings if [r.name for r in training.rows] == full] == [0, 1]
    assert [t.config.seed for t in found.trainings] == [0] * 20 + [1] * 20, "every row has a run before any has two"
    assert len({t.settings for t in found.trainings}) == len({t.folder for t in found.trainings}) == 40
    assert all(t.part == "test" for t in found.trainings)
    for training in found.trainings:  # but for network and seed, rows are trained alike
        alike = {"name", "description", "network", "seed"}
        assert training.config.model_dump(exclude=alike) == found.trainings[0].config.model_dump(exclude=alike)


def test_contexts_are_those_of_the_papers_data_set_in_tiles(folder: Path) -> None:
    for contexts, scales in (("inria", [1.0, 2.0, 3.0]), ("deepglobe", [1.0, 3.0, "global"])):
        (average, *_) = plan(folder, 5, contexts=contexts).trainings
        assert [context.scale for context in average.network.contexts] == scales
        assert average.network.fusion == "average"
        assert average.network.width == 16, "the recipe's own settings"
    sizes = [[c.scale for c in t.network.contexts] for t in plan(folder, 4).trainings]
    assert sizes == [
        [1.0, 1.5, 3.0],
        [1.0, 2.0, 2.5],
        [1.0, 2.0, 3.0],
        [1.0, 2.5, 3.0],
        [1.0, 2.0, 4.0],
        [1.5, 2.0, 3.0],
    ]


def test_another_base_leaves_the_recipes_network_out(folder: Path) -> None:
    (first, *_) = plan(folder, 5, base="fctl_mit_b0").trainings
    assert (first.network.encoder, first.network.tile_size, first.network.width) == ("mit_b0", 512, None)


def test_an_option_of_gpe_is_that_of_the_rows_that_have_it(folder: Path) -> None:
    own = recipe()
    own = own.model_copy(update={"network": own.network | {"gpe_unit": "context"}})
    for training in plan(folder, 3, 6, recipe=own).trainings:
        network = training.network
        assert network.gpe_unit == ("context" if network.gpe and network.lcf else "tile")


def test_parts_of_contexts_that_a_row_does_not_have_are_not_frozen(folder: Path) -> None:
    frozen = ["encoders.tile.", "encoders.medium", "necks.large", "decoder"]
    found = {t.rows[0].name: t.config.frozen for t in plan(folder, 3, recipe=recipe(frozen=frozen)).trainings}
    assert found["table3-none"] == ("encoders.tile.", "decoder")
    assert found["table3-medium"] == ("encoders.tile.", "encoders.medium", "decoder")
    assert found["table3-local-medium-large-gpe"] == tuple(frozen)


def test_the_digest_reports_what_decides_a_result(folder: Path) -> None:
    def digest(**fields: object) -> str:
        return plan(folder, 5, **fields).trainings[0].settings

    same = digest()
    assert digest(out=folder / "elsewhere") == digest(recipe=recipe(name="other", save_every=1)) == same
    others = [
        digest(steps=5),
        digest(contexts="deepglobe"),
        digest(recipe=recipe(seed=1)),
        digest(recipe=recipe(batch=2)),
        digest(precision="bf16"),
    ]
    assert len({same, *others}) == 6


def test_what_cannot_be_run_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="there is no ablation table 7"):
        plan(folder, 3, 7)
    with pytest.raises(ConfigError, match="the budget is given twice"):
        plan(folder, 3, steps=2, minutes=1.0)
    with pytest.raises(ConfigError, match="no preset 'fctl_huge'"):
        plan(folder, 3, base="fctl_huge")
    whole = [scene.model_dump() | dict.fromkeys(BANDS, ()) for scene in recipe().data.scenes]
    data = recipe().data.model_dump() | {"scenes": whole}
    with pytest.raises(InputError, match="nothing is held out to be measured"):
        plan(folder, 3, recipe=recipe(data=data))


def test_built_in_recipes_make_every_row(tmp_path: Path) -> None:
    found = plan(tmp_path, 3, 4, 5, 6, recipe=load_train_config("earth"), contexts="deepglobe")
    assert len(found.trainings) == 9 + 4 + 2 + 9
    assert {training.network.finest_skip for training in found.trainings} == {2}
    assert found.trainings[0].part == "test"
