import torch
from safetensors.torch import load_file

from callbacks.attack.images import AttackedImages, images_file
from callbacks.attack.specs import parse_attacks

PGD, DEEPFOOL = parse_attacks(["pgd", "deepfool"], [0.5, 4], 3)


def pictures(ids):
    base = torch.tensor(ids).float().view(-1, 1, 1, 1).expand(-1, 3, 2, 4) / 100
    return {"id": torch.tensor(ids), "clean": base, "adversarial": base + 1 / 512, "control": base + 0.1}


def test_batches_become_one_file_an_attack_and_budget(tmp_path):
    images = AttackedImages(tmp_path, tmp_path / "parts")
    for ids in ([5, 2], [9, 4]):
        images.write(PGD, 0.5, pictures(ids))
    images.write(PGD, 4.0, pictures([3]))
    images.write(DEEPFOOL, None, pictures([3, 1]))
    images.write(PGD, 4.0, pictures([7, 6]), shown=True)
    images.merge([PGD, DEEPFOOL])
    names = sorted(path.name for path in (tmp_path / "adversarial_images").iterdir())
    assert names == ["deepfool@minimal.safetensors", "pgd@0.5.safetensors", "pgd@4.safetensors"]
    found = load_file(images_file(tmp_path, PGD, 0.5))
    assert found["id"].tolist() == [2, 4, 5, 9]
    for kind, expected in pictures([2, 4, 5, 9]).items():
        assert torch.equal(found[kind], expected), "floats, unrounded"
    assert load_file(images_file(tmp_path, DEEPFOOL, None))["id"].tolist() == [1, 3]
    assert images.shown["pgd"]["id"].tolist() == [6, 7], "for figures only"
    assert list(images.shown) == ["pgd"]


def test_an_image_that_came_twice_is_kept_once(tmp_path):
    images = AttackedImages(tmp_path, tmp_path / "parts")
    for ids in ([2, 3], [0, 2], [1, 3]):
        images.write(PGD, 4.0, pictures(ids))
    images.merge([PGD])
    found = load_file(images_file(tmp_path, PGD, 4.0))
    assert found["id"].tolist() == [0, 1, 2, 3]
    assert torch.equal(found["clean"], pictures([0, 1, 2, 3])["clean"])


def test_nothing_kept_leaves_no_folder(tmp_path):
    images = AttackedImages(tmp_path, tmp_path / "parts")
    images.merge([PGD])
    assert list(tmp_path.iterdir()) == []
    assert images.shown == {}
