import os
import warnings

import pytest
import torch
import yaml

from codes import Preprocessing
from datamodules import ImageData
from tests.conftest import write_tree
from tests.datamodules.sources.stand_ins import write_cifar, write_imagenet, write_shards


def make(root, **settings):
    return ImageData(str(root), **({"resize": 24, "crop": 20, "num_workers": 0, "batch_size": 2} | settings))


def test_batches_keep_the_contract(make_tree):
    data = ImageData(str(make_tree({"train": 3, "val": 2})), batch_size=4, resize=24, crop=20, num_workers=0)
    data.setup("fit")
    for loader, count in ((data.train_dataloader(), 8), (data.val_dataloader(), 6)):
        batches = list(loader)
        images = torch.cat([batch["image"] for batch in batches])
        assert images.shape == (count, 3, 20, 20)
        assert images.dtype == torch.float32
        assert 0 <= images.min() < images.max() <= 1
        ids = torch.cat([batch["id"] for batch in batches])
        assert ids.dtype == torch.int64
        assert len(set(ids.tolist())) == count
    assert data.classes == ["ant", "bee", "cat"]
    assert data.label_map is None


def test_every_image_of_a_split_comes_once_whatever_the_stage(make_tree):
    data = ImageData(str(make_tree({"train": 5, "val": 2})), batch_size=4, num_workers=0, resize=24, crop=20)
    data.setup("validate")
    for split, count in (("train", 15), ("val", 6)):
        ids = torch.cat([batch["id"] for batch in data.every_image(split)])
        assert ids.tolist() == list(range(count)), "none is left out, in order"


def test_a_split_that_is_not_there_is_told(make_tree):
    data = ImageData(str(make_tree({"val": 2})), num_workers=0, resize=24, crop=20)
    data.setup("validate")
    with pytest.raises(FileNotFoundError, match="has no train/ folder"):
        data.every_image("train")


def test_wnid_folders_map_to_imagenet(make_tree):
    root = make_tree({"val": 1}, classes=("n01440764", "n02108422"))
    data = ImageData(str(root), num_workers=0)
    data.setup("validate")
    assert data.label_map.indices == [0, 243]
    assert data.classes == ["tench, Tinca tinca", "bull mastiff"]
    with pytest.raises(FileNotFoundError, match=r"has no train/ folder \(it has: val\)"):
        data.setup("fit")


def test_the_attack_set_is_test_or_else_val(make_tree):
    root = make_tree({"train": 1, "val": 2})
    data = ImageData(str(root), resize=24, crop=20, num_workers=0)
    data.setup("test")
    assert len(data.test_dataloader().dataset) == 6
    root = make_tree({"test": 1})
    data = ImageData(str(root), resize=24, crop=20, num_workers=0)
    data.setup("test")
    assert len(data.test_dataloader().dataset) == 3


def test_attack_images_are_a_seeded_draw_over_all_classes(make_tree):
    root = make_tree({"val": 10})

    def drawn(seed):
        data = ImageData(str(root), resize=24, crop=20, attack_images=9, num_workers=0, seed=seed)
        data.setup("test")
        samples = data.test_dataloader().dataset.samples
        return list(zip(samples.ids.tolist(), samples.labels.tolist(), strict=True))

    first = drawn(0)
    assert first == sorted(set(first))
    assert len(first) == 9
    assert {label for _, label in first} == {0, 1, 2}
    assert first == drawn(0) != drawn(1)


def test_embedded_views_are_seeded_and_differ_between_splits():
    def views(seed):
        data = ImageData(views=4, crop=16, resize=16, batch_size=8, num_workers=0, seed=seed)
        data.setup("fit")
        return [data.train_dataloader().dataset[5]["image"], data.val_dataloader().dataset[5]["image"]]

    state = torch.get_rng_state()
    first, again, other = views(0), views(0), views(1)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_corrupt_files_are_counted_and_reported(make_tree):
    root = make_tree({"train": 2, "val": 1})
    (root / "train" / "ant" / "000.png").write_bytes(b"broken")
    data = ImageData(str(root), resize=24, crop=20, batch_size=1, num_workers=0)
    with pytest.warns(UserWarning, match="train: skipped 1 of 6 unreadable images"):
        data.setup("fit")
    assert data.corrupt["train"] == [("train/ant/000.png", "not an image file")]
    strict = ImageData(str(root), on_corrupt="error", num_workers=0)
    with pytest.raises(ValueError, match="1 of 6 images cannot be read"):
        strict.setup("fit")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "data.batch_size is 0: it must be at least 1"),
        ({"resize": 20, "crop": 21}, "data.resize is 20: it must be at least 21"),
        ({"crop": 0}, "data.crop is 0"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ValueError, match=message):
        ImageData(**setting)


def test_a_single_class_is_pointed_out(make_tree):
    data = ImageData(str(make_tree({"val": 1}, classes=("ant",))), num_workers=0)
    with pytest.warns(UserWarning, match="has a single class, 'ant'"):
        data.setup("validate")


def test_a_root_that_is_no_folder_is_refused_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.root '.*nowhere' is not a folder"):
        ImageData(str(tmp_path / "nowhere"))


def test_what_is_not_given_is_the_backbones_own(make_tree):
    root = str(make_tree({"val": 1}, size=(60, 40)))
    own = Preprocessing(resize=30, crop=20, interpolation="bilinear")
    assert ImageData(root).preprocessing == Preprocessing(resize=256, crop=224, interpolation="bicubic")

    def first(adopted, **settings):
        data = ImageData(root, num_workers=0, **settings)
        if adopted is not None:
            data.adopt(adopted)
        data.setup("validate")
        return data.val_dataloader().dataset[0]["image"]

    given = {"resize": 30, "crop": 20, "interpolation": "bilinear"}
    assert first(None).shape == (3, 224, 224)
    assert torch.equal(first(own), first(None, **given))
    assert torch.equal(first(own, **given), first(None, **given))
    assert torch.equal(first(own, crop=17), first(None, **(given | {"crop": 17})))
    bicubic = first(own, interpolation="bicubic")
    assert torch.equal(bicubic, first(None, **(given | {"interpolation": "bicubic"})))
    assert not torch.equal(bicubic, first(own))
    with pytest.raises(ValueError, match=r"data\.resize is 30: it must be at least data\.crop, which is 31; give both"):
        first(own, crop=31)


def test_files_left_out_are_counted_and_named(make_tree):
    root = make_tree({"train": 1, "val": 1})
    for number in range(4):
        (root / "train" / "bee" / f"{number}.heic").write_bytes(b"")
    data = ImageData(str(root), num_workers=0, batch_size=1)
    with pytest.warns(
        UserWarning, match=r"train: left out 4 files \(0.heic, 1.heic, 2.heic, ...\): image files end in"
    ):
        data.setup("fit")
    assert [len(data.left_out[split]) for split in ("train", "val")] == [4, 0]


def test_the_mapping_may_be_chosen(make_tree):
    root = make_tree({"val": 1}, classes=("n01440764", "n01443537"))
    for mapping, expected in ((None, [0, 1]), ("none", None), ("order", [0, 1])):
        data = make(root, mapping=mapping)
        data.setup("validate")
        assert (data.label_map and data.label_map.indices) == expected
    with pytest.raises(ValueError, match="is none of ImageNet-1k's"):
        make(make_tree({"val": 1}), mapping="name").setup("validate")


def test_every_source_keeps_the_contract(tmp_path, monkeypatch):
    """The same batches on 0 and 2 workers, with ids that name images, for each kind of opener."""
    write_cifar(tmp_path / "cifar", monkeypatch, count=4)
    sources = {
        "folder": write_tree(tmp_path / "folder", {"train": 7, "val": 2}),
        "imagenet": write_imagenet(tmp_path / "imagenet", flat=True),
        "cifar10": tmp_path / "cifar",
        "webdataset": write_shards(tmp_path / "shards", {"train": 12}),
    }
    for source, root in sources.items():
        data = make(root, source=source, batch_size=4)
        data.setup("fit")
        with pytest.MonkeyPatch.context() as patch:
            batches = [batch for loader in (data.train_dataloader(), data.val_dataloader()) for batch in loader]
            patch.setattr(data, "num_workers", 2)
            again = [batch for loader in (data.train_dataloader(), data.val_dataloader()) for batch in loader]
        assert len(batches) == len(again) >= 2, source
        for one, two in zip(batches, again, strict=True):
            assert all(torch.equal(one[key], two[key]) for key in ("image", "label", "id")), source
            assert one["image"].shape[1:] == (3, 20, 20)
            assert one["image"].dtype == torch.float32
            assert 0 <= one["image"].min() < one["image"].max() <= 1


def test_other_images_have_another_description(make_tree):
    root = make_tree({"train": 2, "val": 1})
    settings = ({}, {"per_class": 1}, {"seed": 1, "per_class": 1}, {"classes": ["ant"]}, {"on_corrupt": "error"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single class
        found = [make(root, **each).describe() for each in settings]
    assert found[0] == make(root, seed=3, num_workers=2).describe(), "what does not matter does not show"
    assert yaml.safe_load(yaml.safe_dump(found)) == found, "plain types"
    os.utime(root / "val" / "bee" / "000.png", ns=(0, 5))
    found.append(make(root).describe())
    assert found[0]["train"] == found[-1]["train"]
    assert len({yaml.safe_dump(each) for each in found}) == 6
    embedded = [ImageData(**each).describe() for each in ({}, {"views": 8}, {"seed": 1})]
    assert len({yaml.safe_dump(each) for each in embedded}) == 3


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_vanishes_is_named(make_tree, num_workers):
    root = make_tree({"val": 2})
    data = make(root, num_workers=num_workers)
    data.setup("validate")
    (root / "val" / "bee" / "001.png").unlink()
    message = r"^image 'val/bee/001\.png' could be read when the run began and cannot be now \(\[Errno 2\] .*\): put it"
    with pytest.raises(OSError, match=message) as error:
        list(data.val_dataloader())
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"source": "cifar"},
            r"data\.source 'cifar' is unknown; did you mean 'cifar10' or 'cifar100'\? allowed are folder",
        ),
        ({"source": "imagenette"}, r"did you mean 'imagenet'"),
        ({"source": "huggingface/"}, r"allowed are .*huggingface/NAME"),
        (
            {"source": "cifar10"},
            r"data\.source 'cifar10' needs data\.root: the folder where its files are",
        ),
        ({"val_share": 1.0}, r"data\.val_share is 1\.0: it must lie between 0 and 1"),
        ({"classes": []}, r"data\.classes is empty"),
        ({"per_class": 0}, r"data\.per_class is 0: it must be at least 1"),
        ({"per_class": {"train": 0}}, r"data\.per_class is 0"),
        ({"per_class": {"valid": 2}}, r"data\.per_class names 'valid': splits are train, val, test"),
        ({"ids": "nowhere.txt"}, r"data\.ids 'nowhere\.txt' is not a file"),
        ({"prefetch_factor": 0}, r"data\.prefetch_factor is 0"),
        (
            {"source": "imagenet", "root": "nowhere"},
            r"data\.root 'nowhere' is not a folder: .* holds ImageNet",
        ),
        ({"source": "webdataset", "root": "nowhere"}, r"give one that holds \.tar shards"),
    ],
)
def test_what_cannot_be_is_refused_at_once(settings, message):
    with pytest.raises((ValueError, OSError), match=message):
        ImageData(**settings)
