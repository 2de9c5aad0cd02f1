import numpy as np
import pyarrow as pa
import pytest
import torch

from callbacks.attack.columns import clean_columns, ledger_rows, norms_of, perturbed_columns, see
from callbacks.attack.references import ClassMeans, References
from measures import CodeBank
from tests.callbacks.conftest import TAPS, make_module


@pytest.fixture(scope="module", params=["euclidean", "cosine"])
def module(request):
    return make_module("ten_classes", distance=request.param)


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, 20, 20, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def references(module):
    generator = torch.Generator().manual_seed(5)
    bank = {}
    for depth, som in module.maps.items():
        codes = som.encode(torch.randn(30, som.dimensions, generator=generator))
        bank[depth] = CodeBank(codes, torch.arange(30) % 3)
    found = References(None, [], 6, dict.fromkeys(TAPS, 2.0), 30, banks=bank)
    row = torch.tensor([0, 1, -1])
    found.means = {depth: ClassMeans(row, bank[depth].codes[:2]) for depth in TAPS}
    return found


def look(module, images, references, kind="clean"):
    with torch.no_grad():
        return see(kind, module, module.extractor(images), references)


def test_what_is_seen_of_images(module, images, references):
    seen = look(module, images, references)
    with torch.no_grad():
        extraction = module.extractor(images)
        winners = module.winners(extraction)
    probabilities = extraction.logits.softmax(1)
    assert torch.equal(seen.columns["clean_prediction"], extraction.logits.argmax(1))
    torch.testing.assert_close(seen.columns["clean_confidence"], probabilities.amax(1))
    torch.testing.assert_close(seen.columns["clean_energy"], -extraction.logits.exp().sum(1).log())
    for depth, som in module.maps.items():
        bmu = winners[depth].bmu
        assert torch.equal(seen.columns[f"{depth}_clean_row"] * 4 + seen.columns[f"{depth}_clean_col"], bmu)
        apart = torch.cdist(seen.codes[depth], som.prototypes).sort(dim=1).values
        torch.testing.assert_close(seen.columns[f"{depth}_clean_error"], apart[:, 0] / 2, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(seen.margin[depth], apart[:, 1] / apart[:, 0] - 1, rtol=1e-2, atol=1e-3)
        for name, score in references.banks[depth].scores(seen.codes[depth]).items():
            assert torch.equal(seen.columns[f"{depth}_clean_{name}"], score)


def test_margins_of_clean_images(module, images, references):
    seen = look(module, images, references)
    reference = torch.tensor([0, 1, 7, 0, 1, 7])
    found = clean_columns(seen, reference)
    for row in range(6):
        others = [float(value) for k, value in enumerate(seen.logits[row]) if k != reference[row]]
        assert float(found["logit_margin"][row]) == pytest.approx(float(seen.logits[row, reference[row]]) - max(others))
    assert torch.equal(found["CL1_margin"], seen.margin["CL1"])


def test_shift_and_progress_of_changed_images(module, images, references):
    before = look(module, images, references).codes
    seen = look(module, (images + 0.1).clamp(0, 1), references, "control")
    own, other = torch.tensor([0, 0, 1, 1, 0, 2]), torch.tensor([1, 1, 0, 0, 0, 1])
    found = perturbed_columns("control", seen, before, references, own, other)
    for depth in TAPS:
        moved = (seen.codes[depth] - before[depth]).double()
        torch.testing.assert_close(
            found[f"{depth}_control_shift"], (moved.norm(dim=1) / 2).float(), rtol=1e-5, atol=1e-6
        )
        gap = (references.means[depth].means[1] - references.means[depth].means[0]).double()
        along = (moved @ gap / gap.square().sum()).float()
        expected = torch.stack([along[0], along[1], -along[2], -along[3]])
        torch.testing.assert_close(found[f"{depth}_control_progress"][:4], expected, rtol=1e-4, atol=1e-5)
        assert found[f"{depth}_control_progress"][4:].isnan().all(), "the same class, and one without images"


def test_norms():
    step = torch.tensor([[[[3.0, 0.0], [-4.0, 0.0]]]])
    assert {name: value.tolist() for name, value in norms_of("adversarial", step).items()} == {
        "linf": [4],
        "l2": [5],
        "l1": [7],
        "l0": [2],
    }
    assert list(norms_of("control", step)) == ["control_linf", "control_l2", "control_l1", "control_l0"]


def test_rows_hold_values_at_their_images():
    chosen = torch.tensor([True, False, True, True])
    attacked = torch.tensor([True, False, False, True])
    rows = ledger_rows(
        {"id": torch.tensor([7, 3, 5, 1])}, {"linf": torch.tensor([0.25, 0.5])}, chosen, attacked, {"attack": "pgd"}
    )
    assert rows["id"].tolist() == [7, 5, 1]
    assert rows["attacked"].tolist() == [True, False, True]
    assert rows["linf"].equals(pa.array([0.25, None, 0.5], pa.float32()))
    assert rows["attack"] == "pgd"
    nothing = ledger_rows({"id": torch.tensor([7])}, {}, torch.ones(1).bool(), torch.zeros(1).bool(), {})
    assert nothing["attacked"].tolist() == [False]
    assert isinstance(nothing["id"], np.ndarray)
