import pytest

from tests.datamodules.test_image_data import make


def ids(dataset):
    return dataset.samples.ids.tolist()


def test_one_tree_is_split_by_the_seed(make_tree):
    root = make_tree({"train": 10}) / "train"
    data = make(root, val_share=0.3)
    data.setup("fit")
    train, val = (loader.dataset for loader in (data.train_dataloader(), data.val_dataloader()))
    assert sorted(ids(train) + ids(val)) == list(range(30))
    assert [val.samples.labels.tolist().count(label) for label in range(3)] == [3, 3, 3]
    data.setup("test")
    assert ids(data.test_dataloader().dataset) == ids(val), "the attack stage takes no image that maps were fit on"
    other = make(root, val_share=0.3, seed=1)
    other.setup("validate")
    assert ids(other.val_dataloader().dataset) != ids(val)


def test_equal_numbers_per_class_in_both_splits(make_tree):
    root = make_tree({"train": 6, "val": 4})
    (root / "val" / "bee" / "000.png").write_bytes(b"broken")
    (root / "train" / "bee" / "003.png").write_bytes(b"broken")
    data = make(root, per_class="equal")
    with pytest.warns(UserWarning, match="val: skipped 1 of 12 unreadable images"):
        data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.dataset.samples.labels.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    alone = make(root, per_class="equal")
    with pytest.warns(UserWarning, match="val: skipped"):
        alone.setup("validate")
    assert ids(alone.val_dataloader().dataset) == ids(data.val_dataloader().dataset)


def test_what_is_drawn_does_not_depend_on_what_was_read_before(make_tree):
    root = make_tree({"val": 9})
    for number in (0, 3, 4):
        (root / "val" / "ant" / f"{number:03d}.png").write_bytes(b"broken")

    def drawn(*stages):
        data = make(root, attack_images=7)
        for stage in stages:
            with pytest.warns(UserWarning, match="skipped"):
                data.setup(stage)
        return ids(data.test_dataloader().dataset)

    assert drawn("validate", "test") == drawn("test")
    assert len(drawn("test")) == 7


def test_numbers_per_class_leave_the_attack_its_own_split(make_tree):
    root = make_tree({"train": 4, "val": 3, "test": 1})
    data = make(root, per_class=2)
    data.setup("fit")
    data.setup("test")
    assert [len(data._datasets[split]) for split in ("train", "val", "test")] == [6, 6, 3]
    with pytest.raises(ValueError, match=r"asks for 4 val images of a class, but 3 of 3 classes have fewer"):
        make(root, per_class=4).setup("fit")
    data = make(root, per_class={"train": 3, "test": 1})
    data.setup("fit")
    assert [len(data._datasets[split]) for split in ("train", "val")] == [9, 9]


def test_subsets_keep_their_ids_and_go_together(make_tree, tmp_path):
    root = make_tree({"train": 4, "val": 2})
    listing = tmp_path / "ids.txt"
    listing.write_text("val/cat/001.png\nval/0\n")
    data = make(root, classes=["cat", "ant"], per_class={"train": 1}, ids=str(listing))
    data.setup("fit")
    assert data.classes == ["ant", "cat"]
    assert ids(data.val_dataloader().dataset) == [0, 5]
    (first, second) = ids(data.train_dataloader().dataset)
    assert first < 4
    assert 8 <= second < 12
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert (batch["id"].tolist(), batch["label"].tolist()) == ([0, 5], [0, 1])
