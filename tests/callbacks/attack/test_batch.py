"""One batch under attack: targets, controls of the right size, and parts that fit into memory."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from callbacks.attack import batch as attack_batch
from callbacks.attack.batch import AttackedBatch, FittingParts, is_out_of_memory
from callbacks.attack.references import References
from callbacks.attack.specs import parse_attacks
from tests.callbacks.conftest import TAPS, make_module

TRAINER = SimpleNamespace(precision_plugin=SimpleNamespace(test_step_context=nullcontext))


@pytest.fixture(scope="module")
def module():
    return make_module("ten_classes")


@pytest.fixture
def batch(module) -> AttackedBatch:
    images = torch.rand(6, 3, 20, 20, generator=torch.Generator().manual_seed(2)) / 4 + 0.3
    images[torch.arange(6), torch.arange(6) % 3] += 0.3
    with torch.no_grad():
        extraction = module.extractor(images)
    data = {"image": images, "label": torch.arange(6) % 3, "id": torch.tensor([9, 4, 2, 7, 1, 3])}
    references = References(None, [], 6, dict.fromkeys(TAPS, 1.0))
    reference = torch.tensor([0, 1, 7, 0, 1, 5])  # the last is wrong
    return AttackedBatch(TRAINER, module, references, data, extraction, reference, seed=3)


def spec(name, **settings):
    return parse_attacks([{"name": name} | settings], [60], 5)[0]


def test_who_is_right(batch):
    assert batch.right.tolist() == [True, True, True, True, True, False]


def test_targets(batch):
    assert batch.targets("untargeted") is None
    assert batch.targets(4).tolist() == [4] * 6
    assert torch.equal(batch.targets("least_likely"), batch.clean.logits.argmin(1))
    drawn = batch.targets("random")
    assert (drawn != batch.reference).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 9
    expected = []
    for number, own in zip(batch.ids.tolist(), batch.reference.tolist(), strict=True):
        other = int(np.random.default_rng((3, 5, number)).integers(9))
        expected.append(other + (other >= own))
    assert drawn.tolist() == expected, "of seed and id alone"


@pytest.mark.parametrize(
    ("name", "controls"),
    [("pgd", {"control": "linf", "gaussian": "l2"}), ("pgd_l2", {"control": "l2", "gaussian": "l2"}),
     ("ead", {"control": "l1", "gaussian": "l2"}), ("spatial", {"control": "l2"})],
)  # fmt: skip
def test_controls_have_the_norm_that_was_realised(batch, name, controls):
    attack = spec(name, **({"steps": 10} if name == "ead" else {}))
    columns, pictures = batch.attack(attack, attack.budgets[-1], torch.tensor([4, 0, 2]), None)
    assert set(pictures) == {"clean", "adversarial", "control"}
    assert torch.equal(pictures["clean"], batch.images[[4, 0, 2]])
    for kind, norm in controls.items():
        torch.testing.assert_close(columns[f"{kind}_{norm}"], columns[norm], rtol=1e-5, atol=1e-5)
    step = (pictures["adversarial"] - pictures["clean"]).flatten(1)
    torch.testing.assert_close(columns["l2"], step.norm(dim=1))
    if attack.norm == "l2":
        assert torch.equal(columns["gaussian_prediction"], columns["control_prediction"])
        assert torch.equal(columns["CL1_gaussian_shift"], columns["CL1_control_shift"])


def test_examples_can_come_from_another_network(batch):
    other = make_module("waves").extractor.backbone
    rows = torch.arange(5)
    own, _ = batch.attack(spec("pgd"), 60.0, rows, None)
    moved, _ = batch.attack(spec("pgd"), 60.0, rows, None, source=other)
    assert not torch.equal(own["CL1_adversarial_shift"], moved["CL1_adversarial_shift"])


def test_a_batch_that_does_not_fit_is_halved(recwarn):
    fitting, sizes = FittingParts(), []

    def work(rows):
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return rows.tolist()

    assert fitting(work, torch.arange(10)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert sizes == [10, 5, 3, 3, 3, 1]
    assert fitting(work, torch.arange(4)) == [[0, 1, 2], [3]], "what fits is remembered"
    texts = [str(warning.message) for warning in recwarn]
    assert texts == [
        "out of memory with 10 images under attack: going on with 5 at a time",
        "out of memory with 5 images under attack: going on with 3 at a time",
    ]


def test_a_single_image_that_does_not_fit_and_other_errors_are_raised():
    def full(rows):
        raise MemoryError

    def broken(rows):
        raise RuntimeError("shapes do not match")

    with pytest.warns(UserWarning, match="going on with 1 at a time"), pytest.raises(MemoryError):
        FittingParts()(full, torch.arange(2))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        FittingParts()(broken, torch.arange(2))
    assert FittingParts()(broken, torch.arange(0)) == []


def test_what_counts_as_out_of_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_results_in_parts_are_those_of_the_whole(batch):
    rows = torch.arange(5)
    whole, _ = batch.attack(spec("pgd"), 60.0, rows, None)
    fitting = FittingParts()
    fitting.size = 2
    parts = fitting(lambda part: attack_batch.AttackedBatch.attack(batch, spec("pgd"), 60.0, part, None)[0], rows)
    for name, values in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), values, rtol=1e-4, atol=1e-5)
