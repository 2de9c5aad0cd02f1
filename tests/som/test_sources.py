import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from som import sources as som_sources
from som.sources import ArraySource, LoaderSource, is_source, open_source
from tests.som import reference

CPU = torch.device("cpu")
CODES = reference.draw(23, 4)


def save(folder, dtype, codes=CODES):
    np.save(folder / "codes.npy", codes.numpy().astype(dtype))
    return folder / "codes.npy"


def sources(folder):
    """The same codes in every form; small multiples of 1/64 are exact in float16."""
    yield "tensor", CODES
    yield "half tensor", CODES.half()
    yield "array", CODES.numpy()
    yield "float16 array", CODES.numpy().astype(np.float16)
    yield "float64 array", CODES.numpy().astype(np.float64)
    yield "Fortran order", np.asfortranarray(CODES.numpy())
    for dtype in (np.float16, np.float32):
        yield "memory map", np.load(save(folder, dtype), mmap_mode="r")
    yield "loader", DataLoader(CODES, batch_size=5)
    yield "loader of tuples", DataLoader(TensorDataset(CODES, torch.arange(23)), batch_size=5)
    yield "loader of dtype", DataLoader(CODES.double(), batch_size=5)


def test_every_source_gives_the_codes_in_batches(tmp_path):
    for name, codes in sources(tmp_path):
        source = open_source(codes, CPU)
        source.check()
        assert source.dimensions == 4
        batches = list(source.batches(5))
        assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
        assert all(batch.dtype == torch.float32 for batch in batches)
        assert torch.equal(torch.cat(batches), CODES), name
        assert source.samples == (None if isinstance(source, LoaderSource) else 23)
        pool = source.pool(9, torch.Generator().manual_seed(0))
        assert pool.shape == (9, 4)
        assert ((pool[:, None] == CODES).all(2).sum(0) <= 1).all()
        assert source.pool(99, torch.Generator()).shape == (23, 4)


def test_rows_come_in_any_order(tmp_path):
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    for codes in (CODES, CODES.numpy(), np.load(save(tmp_path, np.float32), mmap_mode="r")):
        assert torch.equal(torch.cat(list(ArraySource(codes, CPU).batches(5, order))), CODES[order])


def test_a_batch_is_a_copy_of_an_array():
    array = CODES.numpy().copy()
    ArraySource(array, CPU).take(slice(0, 5)).zero_()
    assert (array == CODES.numpy()).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_bad_rows_are_named_wherever_they_lie(poison, tmp_path, monkeypatch):
    monkeypatch.setattr("som.tiles.ROWS", 5)
    bad = CODES.clone()
    bad[17, 2] = poison
    for codes in (bad, bad.numpy(), np.load(save(tmp_path, np.float16, bad), mmap_mode="r")):
        with pytest.raises(ValueError, match="row 17 holds NaN or infinity"):
            open_source(codes, CPU).check()
    with pytest.raises(ValueError, match="row 17 holds NaN or infinity"):
        list(open_source(DataLoader(bad, batch_size=6), CPU).batches())


def test_a_memory_map_gives_its_pages_back_but_not_what_was_written_to_a_private_one(tmp_path, monkeypatch):
    monkeypatch.setattr(som_sources, "KEEP", 1)
    for mode in ("r", "r+", "c"):
        codes = np.load(save(tmp_path, np.float32), mmap_mode=mode)
        if mode != "r":
            codes[3] = 7.0
        for view in (codes, codes[1:]):
            first = list(ArraySource(view, CPU).batches(5))
            again = list(ArraySource(view, CPU).batches(5))
            assert torch.equal(torch.cat(first), torch.cat(again)), mode
            assert torch.cat(again)[2 if view is not codes else 3].eq(7.0).all() == (mode != "r")


def test_what_is_taken_as_it_is(tmp_path):
    assert is_source(CODES)
    assert is_source(DataLoader(CODES))
    assert is_source(np.load(save(tmp_path, np.float16), mmap_mode="r"))
    assert not is_source(np.load(save(tmp_path, np.int32), mmap_mode="r"))
    assert not is_source(CODES.numpy())
    assert not is_source([[1.0]])


def test_refusals():
    for shape in ((3,), (0, 3), (3, 0), (2, 3, 4)):
        with pytest.raises(ValueError, match=r"codes must be \(samples, dimensions\), at least 1 x 1; got shape"):
            open_source(torch.zeros(shape), CPU)
    with pytest.raises(ValueError, match="the DataLoader yields no batch"):
        open_source(DataLoader(torch.zeros(0, 3)), CPU)
    with pytest.raises(ValueError, match=r"must yield \(B, D\) tensors, alone or first; got dict"):
        open_source(DataLoader([{"code": torch.zeros(3)}]), CPU)
    with pytest.raises(ValueError, match=r"must yield \(B, D\) tensors"):
        open_source(DataLoader(torch.zeros(4, 3, 2)), CPU)
    uneven = open_source(
        DataLoader([torch.zeros(3), torch.zeros(3), torch.zeros(2), torch.zeros(2)], batch_size=2), CPU
    )
    with pytest.raises(ValueError, match="codes have 2 dimensions but the map was made for 3"):
        list(uneven.batches())


class Stream(IterableDataset):
    def __init__(self, codes):
        self.codes = codes

    def __iter__(self):
        return iter(self.codes)


def test_a_stream_has_no_length_and_must_flow_again():
    assert open_source(DataLoader(CODES, batch_size=5), CPU).length == 5
    source = open_source(DataLoader(Stream(CODES), batch_size=5), CPU)
    assert source.length == math.inf
    assert torch.equal(torch.cat(list(source.batches())), CODES)
    once = open_source(DataLoader(Stream(iter(CODES)), batch_size=23), CPU)
    with pytest.raises(ValueError, match="yields no batch any more"):
        list(once.batches())
