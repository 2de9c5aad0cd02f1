import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from datamodules import dataset
from datamodules.dataset import ImageDataset, RandomViews
from datamodules.sources.folder import list_folder


@pytest.fixture
def files(make_tree):
    samples = list_folder(make_tree({"val": 1}, size=(60, 40))).splits["val"]
    return replace(samples, ids=samples.ids + 10)


@pytest.mark.parametrize(("mode", "resample"), [("bicubic", "BICUBIC"), ("bilinear", "BILINEAR")])
def test_images_are_resized_by_the_short_side_and_center_cropped(files, mode, resample):
    sample = ImageDataset(files, 20, 12, mode)[1]
    image = Image.open(files.encoded(1)).resize((30, 20), Image.Resampling[resample])
    expected = np.asarray(image.crop((9, 4, 21, 16)), np.float32).transpose(2, 0, 1)
    assert sample["image"].dtype == torch.uint8
    np.testing.assert_allclose(sample["image"], expected, atol=2)
    assert (sample["label"], sample["id"]) == (1, 11)


def test_views_are_numbered_and_depend_on_their_number_and_the_seed(files):
    views = RandomViews(files, 4, 0, 16, "bicubic")
    assert len(views) == 12
    torch.manual_seed(3)
    first = [views[k] for k in range(12)]
    assert [(view["id"], view["label"]) for view in first] == [(k, k // 4) for k in range(12)]
    assert all(view["image"].shape == (3, 16, 16) for view in first)
    again = RandomViews(files, 4, 0, 16, "bicubic")
    assert all(torch.equal(again[k]["image"], first[k]["image"]) for k in reversed(range(12)))
    other = RandomViews(files, 4, 1, 16, "bicubic")
    pictures = [view["image"].numpy().tobytes() for view in (*first, *(other[k] for k in range(12)))]
    assert len(set(pictures)) == 24


def test_a_photograph_is_decoded_once_for_all_its_views(files):
    views = RandomViews(files, 4, 0, 16, "bicubic")
    dataset._read_once.cache_clear()
    for k in range(12):
        views[k]
    assert dataset._read_once.cache_info().misses == 3


@pytest.mark.parametrize("kind", ["images", "views"])
def test_datasets_can_be_pickled(files, kind):
    data = ImageDataset(files, 20, 12, "bicubic") if kind == "images" else RandomViews(files, 4, 0, 12, "bicubic")
    data[0]  # whatever it keeps, it keeps now
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[2]["image"], data[2]["image"])


@pytest.mark.slow
def test_workers_may_be_spawned(files):
    views = RandomViews(files, 4, 0, 16, "bicubic")
    loader = DataLoader(views, batch_size=12, num_workers=1, multiprocessing_context="spawn")
    (batch,) = loader
    assert torch.equal(batch["image"], torch.stack([views[k]["image"] for k in range(12)]))
