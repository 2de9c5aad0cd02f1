import pytest
import torch

from codes import Preprocessing
from datamodules import ImageData


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
