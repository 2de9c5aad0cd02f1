"""What is corrected in Foolbox is wrong there, and right here."""

import pytest
import torch
from torch import nn

from callbacks.attack.foolbox_library import CORRECTED, L0FMN, L2FMN, eagerpy, find_class, foolbox, kind_of, norm_of


def flat(values) -> eagerpy.Tensor:
    return eagerpy.astensor(torch.tensor(values).view(1, 1, 1, -1))


def test_projection_in_l2_shrinks():
    x0, x = flat([0.5, 0.5, 0.5]), flat([0.5, 0.9, 0.8])
    epsilon = eagerpy.astensor(torch.tensor([0.1]))
    own, theirs = (each.project(each(), x, x0, epsilon).raw - x0.raw for each in (L2FMN, foolbox.attacks.L2FMNAttack))
    assert float(theirs.norm()) == pytest.approx(0.5), "3.3.4 multiplies by norm / norm"
    assert float(own.norm()) == pytest.approx(0.1, rel=2e-4)
    torch.testing.assert_close(own / own.norm(), theirs / theirs.norm())
    far = eagerpy.astensor(torch.tensor([2.0]))
    torch.testing.assert_close(L2FMN.project(L2FMN(), x, x0, far).raw, x.raw)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_projection_in_l0_keeps_so_many_values(count):
    x0, x = flat([0.5, 0.5, 0.5, 0.5]), flat([0.6, 0.1, 0.2, 0.45])
    found = L0FMN.project(L0FMN(), x, x0, eagerpy.astensor(torch.tensor([float(count)]))).raw
    kept = torch.tensor([[2, 0, 1, 3]]).view(1, 1, 1, 4) < count  # by size
    torch.testing.assert_close(found, torch.where(kept, x.raw, x0.raw))


class Linear(nn.Module):
    """Two classes; the logits differ by w . x - b."""

    def __init__(self, weight, bias) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = bias

    def forward(self, images):
        lead = images.flatten(1) @ self.weight - self.bias
        return torch.stack([lead / 2, -lead / 2], dim=1)


@pytest.mark.parametrize("name", ["L1FMNAttack", "L2FMNAttack", "LInfFMNAttack"])
def test_fmn_finds_the_least_norm_of_a_linear_model(name):
    """The distance to a hyperplane is |w . x - b| / |w|_q; with black pixels, at which 3.3.4 stops short."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(27, generator=generator)
    images = 0.3 + 0.4 * torch.rand(4, 3, 3, 3, generator=generator)
    lead = images.flatten(1) @ weight
    model = Linear(weight, float(lead.min()) - 0.5).eval()
    distance = (lead - model.bias).abs()
    order = {"L1FMNAttack": torch.inf, "L2FMNAttack": 2, "LInfFMNAttack": 1}[name]
    least = distance / weight.norm(p=order)
    attack = find_class(name)(steps=300)
    assert type(attack) is CORRECTED[name]
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    found = attack.run(wrapped, images, foolbox.criteria.Misclassification(torch.zeros(4, dtype=torch.int64)))
    assert (model(found).argmax(1) == 1).all()
    norms = (found - images).flatten(1).norm(p={torch.inf: 1, 2: 2, 1: torch.inf}[order], dim=1)
    assert (norms >= least * (1 - 1e-4)).all()
    if name != "L1FMNAttack":  # a single value would have to leave [0, 1]
        torch.testing.assert_close(norms, least, rtol=0.02, atol=0)


def test_kinds_and_norms():
    for path, kind, norm in (
        ("LinfPGD", "bounded", "linf"),
        ("foolbox.attacks.EADAttack", "minimal", "l1"),
        ("HopSkipJumpAttack", "minimal", "l1"),
        ("L0FMNAttack", "minimal", "l0"),
        ("SpatialAttack", "fixed", None),
        ("GaussianBlurAttack", "minimal", None),
    ):
        found = find_class(path)
        assert (kind_of(found), norm_of(found)) == (kind, norm), path
