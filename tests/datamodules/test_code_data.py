import os
import pickle

import numpy as np
import pytest
import torch

from codes import Preprocessing
from datamodules import CodeData
from datamodules.code_data import StoredCodes
from tests.codes.store_examples import content, fill
from tests.tiny import make_data


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path)


def assert_rows(batch, split, positions, columns=slice(None)):
    expected = content(split)
    assert batch["codes"].keys() == batch["dead"].keys()
    for place, depth in enumerate(("CL1", "CL2")):
        if depth in batch["codes"]:
            assert batch["codes"][depth].dtype == torch.float32
            assert torch.equal(batch["codes"][depth], expected[depth][positions][:, columns])
            assert torch.equal(batch["dead"][depth], expected["dead"][positions, place])
    assert torch.equal(batch["label"], expected["labels"][positions])
    assert torch.equal(batch["id"], expected["ids"][positions])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_order_is_that_of_images(folder, make_tree, num_workers):
    """12 images, of which one is gone: 11 codes in the same batches of 4 of every epoch, and the same remainder."""
    root = make_tree({"train": 4, "val": 2})
    (root / "train" / "cat" / "003.png").unlink()
    images, codes = make_data(root, seed=3), CodeData(folder, batch_size=4, seed=3, num_workers=num_workers)
    images.setup("fit")
    codes.setup("fit")
    loaders = images.train_dataloader(), codes.train_dataloader()
    for epoch in range(2):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        pairs = list(zip(*loaders, strict=True))
        assert len(pairs) == 2
        for image, code in pairs:
            assert torch.equal(image["id"] * 2, code["id"]), "ids in the store are even"
            assert_rows(code, "train", image["id"])


def test_a_resume_goes_on_in_mid_epoch(folder):
    loader = CodeData(folder, batch_size=3).train_dataloader()
    loader.sampler.set_epoch(1)
    batches = list(loader)
    again = CodeData(folder, batch_size=3).train_dataloader()
    again.load_state_dict({"epoch": 1, "consumed": 2})
    again.sampler.set_epoch(1)
    (rest,) = again
    assert torch.equal(rest["id"], batches[2]["id"])


@pytest.mark.parametrize("batch_size", [3, 4])
def test_validation_visits_every_code_in_order(folder, batch_size):
    batches = list(CodeData(folder, batch_size=batch_size).val_dataloader())
    assert torch.cat([batch["id"] for batch in batches]).tolist() == [0, 2, 4, 6]
    assert_rows(batches[0], "val", torch.arange(batch_size))


def test_every_image_of_a_split_comes_once_whatever_maps_are_fit_on(folder):
    for fit_split in ("train", "val"):
        data = CodeData(folder, batch_size=3, fit_split=fit_split)
        for split, count in (("train", 11), ("val", 4)):
            ids = torch.cat([batch["id"] for batch in data.every_image(split)])
            assert ids.tolist() == [2 * number for number in range(count)]
    with pytest.raises(FileNotFoundError, match="has no codes of split 'test'"):
        CodeData(folder).every_image("test")


def test_maps_may_be_fit_on_the_validation_split(folder):
    data = CodeData(folder, batch_size=2, fit_split="val")
    (first, second) = data.train_dataloader()
    order = torch.cat([first["id"], second["id"]]) // 2
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert_rows(first, "val", order[:2])
    assert len(data.val_dataloader().dataset) == 4
    with pytest.raises(ValueError, match="fit_split is 'test': the store holds train, val"):
        CodeData(folder, fit_split="test")


def test_a_store_gives_fewer_depths_and_statistics(folder):
    dataset = StoredCodes(folder, "train", ["CL2"], ["com", "mean"])
    assert_rows(dataset.__getitems__([7, 0, 3]), "train", torch.tensor([7, 0, 3]), [*range(9, 15), *range(3, 6)])
    without = StoredCodes(folder, "train", ["CL2"], ["mean"])
    assert without.__getitems__([7, 0])["dead"]["CL2"].tolist() == [0, 0], "as the extractor counts without 'com'"


def test_half_precision_is_served_as_float32(tmp_path):
    dataset = StoredCodes(fill(tmp_path, dtype="float16"), "train", ["CL1"], ["max", "mean", "std", "com"])
    codes = dataset.__getitems__([2, 1])["codes"]["CL1"]
    assert codes.dtype == torch.float32
    assert torch.equal(codes, content("train")["CL1"][[2, 1]].half().float())


def test_one_sample_is_a_row_of_a_batch(folder):
    dataset = StoredCodes(folder, "val", ["CL1", "CL2"], ["max", "mean", "std", "com"])
    sample, batch = dataset[2], dataset.__getitems__([2])
    assert (sample["label"], sample["id"]) == (0, 4)
    assert torch.equal(sample["codes"]["CL2"], batch["codes"]["CL2"][0])
    assert int(sample["dead"]["CL1"]) == int(batch["dead"]["CL1"][0])


def test_a_store_beyond_memory_is_read_by_processes(folder, monkeypatch):
    assert CodeData(folder).num_workers == 0
    pages = CodeData(folder).store.bytes // os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else 4096)
    assert CodeData(folder).num_workers == 4
    assert CodeData(folder, num_workers=1).num_workers == 1


def test_what_is_served_is_the_callers_own(folder):
    """A batch may be changed in place; the store stays as it is."""
    dataset = StoredCodes(folder, "val", ["CL1"], ["max", "mean", "std", "com"])
    dataset.__getitems__([0, 1])["codes"]["CL1"].zero_()
    assert_rows(dataset.__getitems__([0, 1]), "val", torch.tensor([0, 1]))


def test_a_dataset_goes_to_a_process_without_its_arrays(folder):
    dataset = StoredCodes(folder, "train", ["CL1", "CL2"], ["max", "mean", "std", "com"])
    dataset.__getitems__([0])
    assert len(pickle.dumps(dataset)) < 1000
    assert_rows(pickle.loads(pickle.dumps(dataset)).__getitems__([5]), "train", torch.tensor([5]))


def test_what_the_module_is_told(folder):
    data = CodeData(folder)
    assert data.classes == ["ant", "bee"]
    assert data.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, resize=18, crop=16)
    with pytest.raises(FileNotFoundError, match="is no whole store"):
        CodeData(folder.parent)
    with pytest.raises(ValueError, match="batch_size 12 exceeds the 11 training images"):
        CodeData(folder, batch_size=12).train_dataloader()


def test_a_batch_is_read_in_one_gather_a_depth(folder):
    dataset = StoredCodes(folder, "train", ["CL1", "CL2"], ["max", "mean", "std", "com"])
    reads = []

    class Counted(np.ndarray):
        def __getitem__(self, key):
            reads.append(key)
            return np.asarray(self)[key]

    dataset.__dict__["_arrays"] = {name: array.view(Counted) for name, array in dataset._arrays.items()}
    dataset.__getitems__(list(range(11)))
    assert len(reads) == 2 + 3, "two depths, ids, labels and dead channels; none a sample"
