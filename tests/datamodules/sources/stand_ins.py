"""Tiny stand-ins of public data sets, in the layouts in which they come."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, Imagenette

from tests.conftest import write_tree

WNIDS = ("n01440764", "n02102040", "n02979186")  # three of Imagenette's


def write_imagenet(root: Path, train: int = 3, val: int = 2, flat: bool = False, classes=WNIDS) -> Path:
    """train/ and val/ of wnid folders; or val/ flat, its images numbered in turn over the classes, and meta.bin."""
    write_tree(root, {"train": train, "val": val}, classes=classes)
    if flat:
        wnids = [classes[number % len(classes)] for number in range(val * len(classes))]
        for number, wnid in enumerate(wnids):
            path = next(iter(sorted((root / "val" / wnid).iterdir())))
            Image.open(path).save(root / "val" / f"ILSVRC2012_val_{number + 1:08d}.JPEG", quality=95)
            path.unlink()
        for wnid in classes:
            (root / "val" / wnid).rmdir()
        torch.save(({wnid: (wnid,) for wnid in classes}, wnids), root / "meta.bin")
    return root


def write_imagenette(root: Path, monkeypatch, size: str = "160px", folder: str = "imagenette2-160") -> Path:
    """The archive of Imagenette, with the checksum that torchvision then expects."""
    tree = write_tree(root / folder, {"train": 2, "val": 1}, classes=WNIDS)
    for path in tree.rglob("*.png"):
        Image.open(path).save(path.with_suffix(".JPEG"))
        path.unlink()
    archive = root / f"{folder}.tgz"
    pack(archive, tree)
    url, _ = Imagenette._ARCHIVES[size]
    monkeypatch.setitem(Imagenette._ARCHIVES, size, (url, md5(archive)))
    return archive


def write_cifar(root: Path, monkeypatch, name: str = "cifar10", count: int = 12, test: int = 8) -> Path:
    """The archive of CIFAR's pickled batches, with the checksums that torchvision then expects."""
    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    classes = 10 if name == "cifar10" else 100
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    key = "labels" if name == "cifar10" else "fine_labels"
    for attribute, size in (("train_list", count), ("test_list", test)):
        entries = []
        for file, _ in getattr(kind, attribute):
            batch = {"data": rng.integers(0, 256, (size, 3072), np.uint8), key: [k % classes for k in range(size)]}
            entries.append([file, write_pickle(folder / file, batch)])
        monkeypatch.setattr(kind, attribute, entries)
    meta = dict(kind.meta)
    meta["md5"] = write_pickle(folder / meta["filename"], {meta["key"]: [f"class{k}" for k in range(classes)]})
    monkeypatch.setattr(kind, "meta", meta)
    archive = root / kind.filename
    pack(archive, folder)
    monkeypatch.setattr(kind, "tgz_md5", md5(archive))
    return archive


def write_shards(root: Path, splits: dict[str, int], classes: int = 3) -> Path:
    """Shards of 5 samples: key.cls with the number of the class, key.json and key.jpg."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for split, count in splits.items():
        for first in range(0, count, 5):
            with tarfile.open(root / f"{split}-{first // 5:04d}.tar", "w") as tar:
                for number in range(first, min(first + 5, count)):
                    image = io.BytesIO()
                    Image.fromarray(rng.integers(0, 256, (32, 40, 3), np.uint8)).save(image, "JPEG")
                    add(tar, f"{number:05d}.cls", str(number % classes).encode())
                    add(tar, f"{number:05d}.jpg", image.getvalue())
                    add(tar, f"{number:05d}.json", b"{}")
    return root


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def pack(archive: Path, folder: Path) -> None:
    """Move a folder into an archive of its own."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    remove(folder)


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def write_pickle(path: Path, content: object) -> str:
    path.write_bytes(pickle.dumps(content))
    return md5(path)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
