import importlib.util

import pytest
from timm.data import ImageNetInfo

from datamodules.embedded import embedded_photographs
from datamodules.files import read_rgb


def test_photographs_carry_their_imagenet_labels():
    files, indices = embedded_photographs()
    assert (len(files), len(indices)) == (20, 19), "two photographs share a class"
    assert [file.id for file in files] == list(range(20))
    assert indices == sorted(set(indices))
    assert indices[files[0].label] == 243
    assert ImageNetInfo().index_to_description(243).startswith("bull mastiff")
    for file in files:
        assert file.path.stem.endswith(f"_{indices[file.label]}")
        assert min(read_rgb(file.path).size) >= 224


@pytest.mark.parametrize("installed", [True, False])
def test_without_photographs_the_error_says_what_to_do(tmp_path, monkeypatch, installed):
    spec = importlib.util.spec_from_loader("foolbox", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if installed else None)
    with pytest.raises(FileNotFoundError, match=r"no embedded photographs in .*: install foolbox 3\.3\.4, or set data"):
        embedded_photographs()
