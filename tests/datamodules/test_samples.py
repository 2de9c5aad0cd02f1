import os
import pickle

import numpy as np
import pytest

from datamodules.samples import FilesBelow, Samples, pack_names, printable


@pytest.fixture
def samples(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(name.encode())
    return Samples(
        np.array([3, 5, 8]), np.array([0, 1, 1]), pack_names(["a.png", "b.png", "c.png"]), FilesBelow(tmp_path)
    )


def test_a_sample_is_opened_by_its_place(samples, tmp_path):
    assert len(samples) == 3
    assert samples.name(1) == "b.png"
    assert samples.encoded(1) == tmp_path / "b.png"
    part = pickle.loads(pickle.dumps(samples.take(np.array([2, 0]))))
    assert (part.ids.tolist(), part.labels.tolist()) == ([8, 3], [1, 0])
    assert part.encoded(0) == tmp_path / "c.png"


def test_the_digest_tells_other_images(samples, tmp_path):
    whole = samples.digest()
    assert samples.digest() == whole == samples.take(np.arange(3)).digest()
    assert len({whole, samples.take(np.array([0, 1])).digest(), samples.take(np.array([1, 0, 2])).digest()}) == 3
    os.utime(tmp_path / "b.png", ns=(0, 7))
    touched = samples.digest()
    (tmp_path / "b.png").unlink()
    assert len({whole, touched, samples.digest()}) == 3


def test_names_are_kept_byte_by_byte():
    odd = os.fsdecode(b"\xff/\xc3\xbc.png")
    samples = Samples(np.arange(1), np.zeros(1, np.int64), pack_names([odd]), FilesBelow("."))
    assert samples.name(0) == odd
    assert samples.printable_names() == [printable(odd)] == ["?/ü.png"]
