"""The list of backbones: the catalog's with the shapes of their cut points, and the names of the libraries."""

import pytest
import timm

from codes import CATALOG, CodeExtractor, load_backbone
from commands import backbones
from commands.backbones import main


def test_the_catalog_is_listed_with_its_shapes(capsys, monkeypatch):
    few = {name: CATALOG[name] for name in ("resnet18", "efficientnet_lite0")}
    monkeypatch.setattr(backbones, "CATALOG", few)
    assert main([]) == 0
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if "  CL" in line]
    assert [line.split()[0] for line in rows[::4]] == list(few)
    assert "CL1    layer1" in rows[0]
    assert "64 x 56 x 56" in rows[0]
    for name, lines in zip(few, (rows[:4], rows[4:]), strict=True):
        dimensions = CodeExtractor(load_backbone(name, weights="none")).dimensions
        assert [line.split()[-1] for line in lines] == [f"{size:,}" for size in dimensions.values()]


@pytest.mark.slow
def test_the_whole_catalog_is_listed(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert [name for name in CATALOG if f"\n{name} " not in text] == []


def test_a_search_lists_names_that_can_be_taken(capsys):
    assert main(["--search", "ViT_tiny_patch16_224"]) == 0
    names = capsys.readouterr().out.split()
    assert "timm/vit_tiny_patch16_224" in names
    assert all(timm.is_model(name.removeprefix("timm/")) for name in names)
    with pytest.raises(ValueError, match="no backbone of torchvision or timm has 'xyzzy' in its name"):
        main(["--search", "xyzzy"])
