import io
import tarfile

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision.datasets import ImageNet, imagenet

from datamodules.labels import map_labels
from datamodules.sources.imagenet import list_imagenet
from tests.datamodules.sources.stand_ins import WNIDS, add, md5, write_imagenet


def names(samples):
    return [samples.name(position) for position in range(len(samples))]


def test_wnid_folders_need_no_devkit(tmp_path):
    source = list_imagenet(write_imagenet(tmp_path))
    assert source.classes == sorted(WNIDS)
    assert names(source.splits["val"])[:2] == ["val/n01440764/000.png", "val/n01440764/001.png"]
    assert map_labels(source, None).indices == [0, 217, 482]
    (tmp_path / "meta.bin").write_bytes(b"not read")
    assert len(list_imagenet(tmp_path).splits["train"]) == 9


def test_a_flat_val_is_labelled_by_the_devkit(tmp_path):
    source = list_imagenet(write_imagenet(tmp_path, flat=True))
    _, wnids = torch.load(tmp_path / "meta.bin", weights_only=True)
    val = source.splits["val"]
    assert sorted(names(val)) == [f"val/ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 7)]
    for position, label in enumerate(val.labels):
        number = int(val.name(position)[-13:-5])
        assert source.classes[label] == wnids[number - 1]
    (tmp_path / "val" / "ILSVRC2012_val_00000002.JPEG").unlink()
    assert len(list_imagenet(tmp_path).splits["val"]) == 5, "a part of them"


def test_a_flat_val_without_the_devkit_says_what_to_get(tmp_path):
    root = write_imagenet(tmp_path, flat=True)
    (root / "meta.bin").write_bytes(b"torn")
    with pytest.raises(OSError, match=r"meta\.bin' is damaged: remove it"):
        list_imagenet(root)
    (root / "meta.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"in its devkit: get ILSVRC2012_devkit_t12\.tar\.gz of ILSVRC"):
        list_imagenet(root)


def test_images_of_other_names_are_refused(tmp_path):
    root = write_imagenet(tmp_path, flat=True)
    for name in ("ILSVRC2012_val_00000099.JPEG", "mine.JPEG"):
        path = root / "val" / name
        path.write_bytes(b"")
        with pytest.raises(ValueError, match=rf"val/{name}' is none of the devkit's 6 ILSVRC2012_val_<8 digits>\.JPEG"):
            list_imagenet(root)
        path.unlink()


def test_an_interrupted_unpacking_is_noticed(tmp_path):
    root = write_imagenet(tmp_path)
    (root / "train" / "n09999999.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds class folders beside 1 loose files, e\.g\. 'n09999999\.tar'"):
        list_imagenet(root)


def test_nothing_there_says_what_to_get(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no train/ or val/ folder: get ILSVRC2012_img_train\.tar, "):
        list_imagenet(tmp_path)


def jpeg(value):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (value, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """The three archives, of 2 training images of each class and 4 validation images."""
    with tarfile.open(tmp_path / "ILSVRC2012_img_train.tar", "w") as tar:
        for k, wnid in enumerate(WNIDS):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as of_class:
                for number in range(2):
                    add(of_class, f"{wnid}_{number}.JPEG", jpeg(50 * k))
            add(tar, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as tar:
        for number in range(4):
            add(tar, f"ILSVRC2012_val_{number + 1:08d}.JPEG", jpeg(50 * (number % 3)))
    synsets = np.array(
        [(k + 1, wnid, f"name {k}, other", "", 0) for k, wnid in enumerate(WNIDS)],
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")],
    )
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": synsets})
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        add(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", b"1\n2\n3\n1\n")
    files = {split: (name, md5(tmp_path / name)) for split, (name, _) in imagenet.ARCHIVE_META.items()}
    monkeypatch.setattr(imagenet, "ARCHIVE_META", files)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*will, by default, filter extracted tar:DeprecationWarning")
def test_archives_are_unpacked(archives):
    source = list_imagenet(archives)
    assert {split: len(samples) for split, samples in source.splits.items()} == {"train": 6, "val": 4}
    assert source.splits["val"].labels.tolist() == [0, 0, 1, 2]
    for split in ("train", "val"):
        reference = ImageNet(archives, split)
        assert [str(source.splits[split].encoded(k)) for k in range(len(reference))] == [
            p for p, _ in reference.samples
        ]
        assert reference.wnids == source.classes


def test_a_damaged_archive_is_refused(archives):
    path = archives / "ILSVRC2012_img_train.tar"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match=r"is damaged \(The archive ILSVRC2012_img_train\.tar is not .*: get it anew"):
        list_imagenet(archives)
    assert not (archives / "train").exists()
