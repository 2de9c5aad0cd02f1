import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from som import RunningStandardiser

# Uneven on purpose: in order, and dealt to two processes, one of which has nothing left for the second step.
SIZES = [1, 9, 2, 0]


def codes(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(SIZES), 3, generator=generator) * torch.tensor([1.0, 20.0, 0.1]) + torch.tensor(
        [0, 1e4, -5.0]
    )


def test_matches_numpy_on_uneven_batches():
    data = codes()
    standardiser = RunningStandardiser(3)
    for batch in data.split(SIZES):
        standardiser.update(batch)
    table = data.double().numpy()
    assert standardiser.count.item() == len(data)
    np.testing.assert_allclose(standardiser.mean, table.mean(0), rtol=1e-12)
    np.testing.assert_allclose(standardiser.standard_deviation, table.std(0), rtol=1e-9)
    np.testing.assert_allclose(standardiser(data), (table - table.mean(0)) / table.std(0), rtol=1e-5, atol=1e-6)
    assert standardiser(data).dtype == torch.float32


def test_identity_before_the_first_update():
    data = codes()
    assert torch.equal(RunningStandardiser(3)(data), data)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -1234.56])
def test_constant_dimensions_map_to_0(value, dtype):
    standardiser = RunningStandardiser(2)
    for size in (3, 1, 50):
        batch = torch.randn(size, 2, generator=torch.Generator().manual_seed(size), dtype=dtype)
        batch[:, 1] = value
        standardiser.update(batch)
    out = standardiser(torch.tensor([[0.0, value], [0.0, value + 2]], dtype=dtype))
    assert out[0, 1].item() == pytest.approx(0, abs=1e-9)
    assert out[1, 1].item() == pytest.approx(2, abs=1e-3)


def test_differentiable_for_codes():
    standardiser = RunningStandardiser(3)
    standardiser.update(codes())
    data = codes(seed=1).requires_grad_()
    standardiser(data).sum().backward()
    expected = (1 / standardiser.standard_deviation).float().expand_as(data)
    torch.testing.assert_close(data.grad, expected)


def test_statistics_travel_in_the_state_dict():
    standardiser, other = RunningStandardiser(3), RunningStandardiser(3)
    standardiser.update(codes())
    other.load_state_dict(standardiser.state_dict())
    assert torch.equal(standardiser(codes(1)), other(codes(1)))


def test_bad_codes_leave_the_statistics_alone():
    standardiser = RunningStandardiser(3)
    standardiser.update(codes())
    before = {name: value.clone() for name, value in standardiser.state_dict().items()}
    bad = codes()
    bad[4, 2] = torch.nan
    with pytest.raises(ValueError, match=r"row 4 holds NaN or infinity \(1 of 12 rows do\)"):
        standardiser.update(bad)
    with pytest.raises(ValueError, match="codes have 2 dimensions"):
        standardiser.update(bad[:, :2])
    assert all(torch.equal(value, before[name]) for name, value in standardiser.state_dict().items())


def _process(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    try:
        standardiser = RunningStandardiser(3)
        batches = codes().split(SIZES)
        for step in range(2):
            standardiser.update(batches[2 * step + rank])
        bad = torch.full((1, 3), torch.nan) if rank == 1 else torch.zeros(1, 3)
        try:
            standardiser.update(bad)
        except ValueError as error:
            message = str(error)
        torch.save((standardiser.state_dict(), message), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()


def test_two_processes_hold_the_statistics_of_one(tmp_path):
    multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    one = RunningStandardiser(3)
    one.update(codes())
    (first, first_message), (second, second_message) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in one.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-12, atol=1e-12)
    # A NaN on one process stops both, and none hangs.
    assert "another process" in first_message
    assert "row 0 holds" in second_message
