"""What is measured before attacks, against one plain pass over the images."""

import numpy as np
import pytest
import torch

from callbacks.attack.references import ClassMeans, measure_references
from measures import count_hits, median_pairwise_distance
from tests.callbacks.conftest import TAPS, WNIDS, make_data, make_module, make_trainer


def measure(folder, root, images=0, module=None, batch_size=4, data=None):
    module = module or make_module("imagenet_classes")
    data = data or make_data(root, batch_size=batch_size)
    data.setup("test")
    trainer = make_trainer(folder)
    trainer.strategy.connect(module)
    module.trainer = trainer
    object.__setattr__(trainer, "datamodule", data)
    data.trainer = trainer
    trainer.test_loop._max_batches = [len(data.test_dataloader())]
    right = torch.tensor([0, 1, 243])
    return measure_references(trainer, module, lambda labels, predicted: right[labels], images, seed=0), module, data


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 9, "val": 3}, classes=WNIDS)


def every(loader):
    batches = list(loader)
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def test_clean_images(tmp_path, root):
    found, module, data = measure(tmp_path, root)
    batch = every(data.test_dataloader())
    with torch.no_grad():
        extraction = module.extractor(batch["image"])
    right = extraction.logits.argmax(1) == torch.tensor([0, 1, 243])[batch["label"]]
    assert found.right == batch["id"][right].tolist() == [0, 1, 2, 3, 4, 5]
    assert float(found.accuracy.compute()["rate"]) == pytest.approx(6 / 9)
    assert found.local_images == 9
    for depth in TAPS:
        scale = median_pairwise_distance(module.maps[depth].encode(extraction.codes[depth]))
        assert found.scale[depth] == pytest.approx(float(scale), rel=1e-4)
    assert (found.images, found.regions, found.means, found.banks) == (0, {}, {}, {})


def test_training_images(tmp_path, root):
    found, module, data = measure(tmp_path, root, images=25)
    assert found.images == 25
    data.setup("fit")
    batch = every(data.predict_dataloader()["train"])
    with torch.no_grad():
        codes = module.extractor(batch["image"]).codes
    label = torch.tensor([0, 1, 243])[batch["label"]]
    for depth, som in module.maps.items():
        hits, whole = found.regions[depth].hits, count_hits(som(codes[depth]).bmu, label, 12, 1000)
        assert hits.sum() == 25
        assert (hits <= whole).all(), "25 of the 27"
        assert hits[[0, 1, 243]].sum() == 25
        assert len(found.banks[depth].codes) == 25
        means = found.means[depth](torch.tensor([243, 0, 5]))
        assert means[2].isnan().all()
        expected = som.encode(codes[depth])[label == 243].mean(0)
        assert (means[0] - expected).norm() < 0.5 * expected.norm(), "the mean of 7 to 9 of its 9 images"


def test_batches_change_nothing(tmp_path, root):
    one, *_ = measure(tmp_path / "one", root, images=25, batch_size=1)
    four, *_ = measure(tmp_path / "four", root, images=25, batch_size=4)
    assert one.right == four.right
    assert one.scale == pytest.approx(four.scale, rel=1e-4)
    for depth in TAPS:
        assert torch.equal(one.regions[depth].hits, four.regions[depth].hits)
        torch.testing.assert_close(one.means[depth].means, four.means[depth].means, rtol=1e-4, atol=1e-4)


def test_too_few_training_images_make_no_bank(tmp_path, root):
    found, *_ = measure(tmp_path, root, images=12)
    assert found.banks == {}
    assert set(found.regions) == set(TAPS)


def test_images_outside_the_range_are_refused(tmp_path, root, monkeypatch):
    data = make_data(root)
    data.setup("test")
    loader = data.test_dataloader()

    def shifted():
        for batch in loader:
            yield batch | {"image": batch["image"] * 2 - 1}

    monkeypatch.setattr(data, "test_dataloader", lambda: list(shifted()))
    with pytest.raises(ValueError, match=r"image 0 has values from -.* to .*: attacks need images in \[0, 1\]"):
        measure(tmp_path, root, data=data)


def test_means_by_class():
    means = ClassMeans(torch.tensor([-1, 0, 1]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    found = means(torch.tensor([2, 0, 1]))
    np.testing.assert_array_equal(found, [[3, 4], [np.nan, np.nan], [1, 2]])
