import resource

import numpy as np
import pytest

from codes.store_files import ArrayFile, size_text, sync_folder, write_whole


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 2, 3), np.float16))
    return tmp_path / "a.npy"


def test_rows_are_overwritten_in_place_and_in_the_arrays_own_type(path):
    size = path.stat().st_size
    file = ArrayFile(path)
    file.put(3, np.arange(12, dtype=np.float64).reshape(2, 2, 3)[:, ::-1])  # of another type, and not contiguous
    file.put(0, np.full((1, 2, 3), 7))
    file.sync()
    file.close()
    expected = np.zeros((5, 2, 3), np.float16)
    expected[3:] = np.arange(12).reshape(2, 2, 3)[:, ::-1]
    expected[0] = 7
    found = np.load(path)
    assert found.dtype == np.float16
    assert np.array_equal(found, expected)
    assert path.stat().st_size == size


def test_a_write_that_the_system_takes_in_parts_is_whole(path, monkeypatch):
    import os

    write, calls = os.pwrite, []
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: calls.append(1) or write(file, data[:5], place))
    file = ArrayFile(path)
    file.put(1, np.ones((3, 2, 3)))
    file.close()
    assert len(calls) == 8  # 36 bytes
    assert np.load(path)[:, 0, 0].tolist() == [0, 1, 1, 1, 0]


def test_a_limit_of_the_system_is_an_error(path):
    file = ArrayFile(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.put(0, np.ones((5, 2, 3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        file.close()


def test_a_text_is_whole_or_not_there(tmp_path, monkeypatch):
    write_whole(tmp_path / "text", "first")
    assert (tmp_path / "text").read_text() == "first"
    monkeypatch.setattr("os.replace", None)
    with pytest.raises(TypeError):
        write_whole(tmp_path / "text", "second")
    assert (tmp_path / "text").read_text() == "first"
    sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_600, "1 MB"), (98e9, "98 GB"), (2.5e13, "25 TB")],
)
def test_sizes_have_three_digits(count, text):
    assert size_text(count) == text
