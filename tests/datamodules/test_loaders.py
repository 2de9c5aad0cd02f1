import os
import signal

import pytest
import torch
from torch.utils.data import Dataset

from datamodules.loaders import ImageLoader, Loader, ResumableLoader, TrainingLoader
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


class Pixels(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, position):
        return {"image": torch.full((3, 2, 4), 51 * (position % 6), dtype=torch.uint8), "id": position}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_become_floating_point_behind_the_workers(num_workers):
    (batch,) = ImageLoader(Pixels(), batch_size=7, num_workers=num_workers, device=torch.device("cpu"))
    assert batch["image"].dtype == torch.float32
    torch.testing.assert_close(batch["image"][:, 1, 1, 3], torch.tensor([0, 0.2, 0.4, 0.6, 0.8, 1, 0]))
    assert batch["id"].tolist() == list(range(7))


def test_a_training_loader_does_both():
    def make():
        return TrainingLoader(Pixels(), 2, sampler=ShuffleSampler(Pixels(), 2, seed=1), drop_last=True)

    loader = make()
    batches = iter(loader)
    first = next(batches)
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    rest = [batch["id"].tolist() for batch in resumed]
    assert [first["id"].tolist(), *rest] == [batch["id"].tolist() for batch in make()]
    assert first["image"].max() <= 1


class Workers(Dataset):
    """Of an item: the process that gave it, and whether SIGTERM ends that."""

    def __len__(self):
        return 12

    def __getitem__(self, position):
        return os.getpid(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_ctrl_c_that_reaches_a_worker_too_leaves_it_at_work():
    iterator = iter(Loader(Workers(), num_workers=1))
    worker = int(next(iterator)[0])
    os.kill(worker, signal.SIGINT)
    assert worker != os.getpid()
    assert [int(process) for process, _ in iterator] == [worker] * 11


def test_a_worker_can_be_ended_whatever_its_process_does_with_sigterm():
    """Lightning's handler only notes it: forked, it made multiprocessing wait for the worker for ever."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert all(bool(ends) for _, ends in Loader(Workers(), num_workers=1))
    finally:
        signal.signal(signal.SIGTERM, before)
