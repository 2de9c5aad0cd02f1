import pytest
import torch

from callbacks import RunWriter
from callbacks.seed_agreement import main, seed_agreement
from measures import map_agreement
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer


def run(folder, root, **settings):
    module = make_module(initialised=False, **settings)
    trainer = make_trainer(folder, RunWriter(), max_epochs=3)
    trainer.fit(module, datamodule=make_data(root))
    trainer.validate(module, datamodule=make_data(root), verbose=False)
    return module, folder / "run" / "v"


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 8, "val": 4})


@pytest.fixture
def one(tmp_path, root):
    return run(tmp_path / "one", root)


def test_a_run_agrees_with_itself(one):
    found = seed_agreement(one[1], one[1])
    for depth in TAPS:
        assert found["images"][depth] == 12
        assert found["distance"][depth] == 0
        assert found["information"][depth] == pytest.approx(1)


@pytest.mark.parametrize("standardise", [True, False])
def test_two_seeds_compare_as_their_modules_do(tmp_path, root, standardise):
    """Another seed draws other weights where the backbone's are random: the factory's depend on it."""
    (ours, first), (theirs, second) = (
        run(tmp_path / name, root, standardise=standardise, init=init) for name, init in (("a", "sample"), ("b", "pca"))
    )
    found = seed_agreement(first, second)
    data = make_data(root, batch_size=12)
    (batch,) = data.every_image("val")
    with torch.no_grad():
        codes = ours.extractor(batch["image"]).codes
    for depth in TAPS:
        maps = [module.maps[depth] for module in (ours, theirs)]
        prototypes = [som.prototypes.detach().double() for som in maps]
        if standardise:
            means, deviations = (
                [getattr(som.standardiser, name) for som in maps] for name in ("mean", "standard_deviation")
            )
            prototypes[0] = (prototypes[0] * deviations[0] + means[0] - means[1]) / deviations[1]
        expected = map_agreement(*prototypes, *(som(codes[depth]).bmu for som in maps), 3, 4)
        assert found["distance"][depth] == pytest.approx(expected.distance)
        assert found["chance_distance"][depth] == pytest.approx(expected.chance_distance)
        assert found["information"][depth] == pytest.approx(expected.adjusted_mutual_information)


def test_the_command_prints_a_row_a_depth(one, capsys):
    assert main([str(one[1]), str(one[1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["depth", "images", "distance", "by", "chance", "AMI"]
    assert [line.split()[:3] for line in lines[4:]] == [[depth, "12", "0"] for depth in TAPS]


def test_runs_without_one_space_are_told_in_a_line(tmp_path, root, one, capsys):
    _, other = run(tmp_path / "other", root, statistics=["max"])
    assert main([str(one[1]), str(other)]) == 1
    told = capsys.readouterr().err
    assert "have no maps to align: statistics is max,mean,std,com and max" in told
    assert main([str(one[1]), str(tmp_path)]) == 1
    assert "maps.safetensors' is missing" in capsys.readouterr().err
    (other / "bmus.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="run the fit with the stage 'analyse'"):
        seed_agreement(other, other)
