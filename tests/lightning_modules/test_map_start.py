import pytest
import torch
from pytorch_lightning.callbacks import Callback

from lightning_modules import map_start
from lightning_modules.map_start import start_maps
from som.initial import initial_prototypes
from tests.lightning_modules.recording import Recorder
from tests.tiny import TAPS, make_data, make_model, make_trainer, prototypes


@pytest.fixture
def tree(make_tree):
    """18 training images: 4 batches of 4, and a remainder of 2 that is left out."""
    return make_tree({"train": 6, "val": 2})


class Started(Exception):
    """Ends a fit where its training would begin."""


class Stop(Callback):
    def on_train_start(self, trainer, pl_module):
        raise Started


def started(tree, folder, **settings):
    """A model whose fit has just started, and the codes of its first epoch in their order."""
    model = make_model(**settings)
    with pytest.raises(Started):
        make_trainer(folder, Stop()).fit(model, datamodule=make_data(tree))
    with torch.no_grad():
        batches = [model.extractor(batch["image"]).codes for batch in model.trainer.datamodule.train_dataloader()]
    return model, {depth: torch.cat([codes[depth] for codes in batches]) for depth in TAPS}


@pytest.mark.parametrize(
    ("pool", "rows", "images"),
    [(7, 1, 8), (8, 1, 8), (9, 1, 12), (2, 3, 12), (512, 3, 16)],  # whole batches; at least a code a unit; one epoch
)
@pytest.mark.parametrize("standardise", [True, False])
def test_maps_start_from_the_first_images(tree, tmp_path, monkeypatch, pool, rows, images, standardise):
    monkeypatch.setattr(map_start, "POOL", pool)
    model, codes = started(tree, tmp_path, rows=rows, standardise=standardise)
    for depth, som in model.maps.items():
        first = codes[depth][:images]
        assert som.initialised
        if standardise:
            assert int(som.standardiser.count) == images
            torch.testing.assert_close(som.standardiser.mean, first.double().mean(0), rtol=1e-12, atol=1e-12)
        table = torch.cdist(som.prototypes.detach().double(), som.encode(first).double())
        assert table.amin(1).max() < 1e-6, "every prototype is one of their codes"


@pytest.mark.parametrize("init", ["sample", "random", "normal", "pca"])
def test_each_depth_starts_as_told_with_a_seed_of_its_own(tree, tmp_path, init):
    model, codes = started(tree, tmp_path, init=init, seed=5)
    for number, (depth, som) in enumerate(model.maps.items()):
        generator = torch.Generator().manual_seed(5 + number)
        expected = initial_prototypes(som.encode(codes[depth]), model.lattice, init, generator)
        torch.testing.assert_close(som.prototypes.detach(), expected, rtol=1e-5, atol=1e-6)


def test_maps_of_cosine_distance_start_on_the_sphere(tree, tmp_path):
    model, _ = started(tree, tmp_path, distance="cosine", init="normal")
    for som in model.maps.values():
        torch.testing.assert_close(som.prototypes.detach().norm(dim=1), torch.ones(12))


def test_the_bmus_are_those_of_the_codes_that_the_maps_started_from(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(map_start, "POOL", 12)
    model, codes = started(tree, tmp_path, standardise=False)
    bmus = start_maps(model)
    assert bmus.keys() == set(TAPS)
    for depth, som in model.maps.items():
        table = torch.cdist(codes[depth][:12].double(), som.prototypes.detach().double())
        assert bmus[depth].tolist() == table.argmin(1).tolist()


def test_several_processes_pool_their_codes_in_order(tree, tmp_path, monkeypatch):
    """As if a second process had the negative codes; then half as many batches are enough."""
    monkeypatch.setattr(map_start, "POOL", 12)
    model, codes = started(tree, tmp_path, standardise=False, rows=1, init="sample")
    monkeypatch.setattr(type(model), "all_gather", lambda self, given: torch.stack((given, -given)))
    start_maps(model)
    for number, (depth, som) in enumerate(model.maps.items()):
        first = codes[depth][:8]
        pool = torch.cat((first[:4], -first[:4], first[4:], -first[4:]))
        generator = torch.Generator().manual_seed(number)
        assert torch.equal(som.prototypes, initial_prototypes(pool, model.lattice, "sample", generator))


def test_it_says_how_many_images_it_took(tree, tmp_path, caplog):
    with caplog.at_level("INFO"):
        started(tree, tmp_path)
    assert "maps start from the codes of 16 training images" in caplog.text


@pytest.mark.parametrize("batch", [1, 4, 5])
def test_it_says_how_many_images_no_batch_takes(tree, tmp_path, caplog, batch):
    data = make_data(tree, batch_size=batch)
    with caplog.at_level("INFO"):
        make_trainer(tmp_path, max_epochs=1).fit(make_model(), datamodule=data)
    images = len(data.train_dataloader().dataset)
    said = f"{images % batch} of {images} training images, others each time, fill no batch"
    assert (said in caplog.text) == bool(images % batch)


def test_maps_that_were_fit_do_not_start_again(tree, tmp_path):
    model = make_model(rule="batch")
    make_trainer(tmp_path).fit(model, datamodule=make_data(tree))
    end, recorder = prototypes(model), Recorder()
    make_trainer(tmp_path, recorder).fit(model, datamodule=make_data(tree))
    assert all(torch.equal(recorder.steps[0]["before"][depth], end[depth]) for depth in TAPS)
