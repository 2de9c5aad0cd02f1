import importlib.util

import pytest
from timm.data import ImageNetInfo

from datamodules.decoding import read_pixels
from datamodules.labels import display_names, map_labels
from datamodules.sources.embedded import list_photographs


def test_photographs_carry_their_imagenet_labels():
    source = list_photographs()
    photographs = source.splits["train"]
    indices = map_labels(source, None).indices
    assert (len(photographs), len(indices)) == (20, 19), "two photographs share a class"
    assert photographs.ids.tolist() == list(range(20))
    assert indices == sorted(set(indices))
    assert indices[photographs.labels[0]] == 243
    assert ImageNetInfo().index_to_description(243).startswith("bull mastiff")
    assert display_names(source)[photographs.labels[0]] == "bull mastiff"
    for position, label in enumerate(photographs.labels):
        assert photographs.name(position).endswith(f"_{indices[label]}.jpg")
        assert min(read_pixels(photographs.encoded(position)).shape[1:]) >= 224
    assert source.splits["val"] is source.splits["test"] is photographs


@pytest.mark.parametrize("installed", [True, False])
def test_without_photographs_the_error_says_what_to_do(tmp_path, monkeypatch, installed):
    spec = importlib.util.spec_from_loader("foolbox", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if installed else None)
    with pytest.raises(FileNotFoundError, match=r"no embedded photographs in .*: install foolbox 3\.3\.4, or set data"):
        list_photographs()
