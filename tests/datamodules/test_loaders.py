import pytest
import torch

from datamodules.loaders import ResumableLoader
from datamodules.samplers import ShuffleSampler

DATA = torch.arange(23)


def make_loader(num_workers: int = 0) -> ResumableLoader:
    return ResumableLoader(DATA, 5, sampler=ShuffleSampler(DATA, 5, seed=1), drop_last=True, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_resume_goes_on_behind_the_last_consumed_batch(num_workers):
    whole = [batch.tolist() for batch in make_loader()]
    interrupted = make_loader(num_workers)
    iterator = iter(interrupted)
    first = [next(iterator).tolist(), next(iterator).tolist()]
    state = interrupted.state_dict()

    resumed = make_loader(num_workers)
    resumed.load_state_dict(state)
    assert first + [batch.tolist() for batch in resumed] == whole
    assert [batch.tolist() for batch in resumed] == whole, "only the first iteration is partial"


def test_a_finished_epoch_starts_anew():
    loader = make_loader()
    whole = [batch.tolist() for batch in loader]
    resumed = make_loader()
    resumed.load_state_dict(loader.state_dict())
    assert [batch.tolist() for batch in resumed] == whole
