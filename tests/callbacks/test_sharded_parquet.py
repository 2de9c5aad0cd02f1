from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from callbacks.sharded_parquet import ShardedParquet

SCHEMA = pa.schema({"id": pa.int64(), "name": pa.string(), "value": pa.float32(), "seen": pa.bool_()})


def trainer(rank: int = 0, world: int = 1) -> SimpleNamespace:
    strategy = SimpleNamespace(barrier=lambda name: None)
    return SimpleNamespace(global_rank=rank, world_size=world, is_global_zero=rank == 0, strategy=strategy)


def rows(path) -> list[tuple]:
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    return list(zip(*(table[name].to_pylist() for name in SCHEMA.names), strict=True))


def test_scalars_are_repeated_and_rows_sorted(tmp_path):
    path = tmp_path / "deep" / "rows.parquet"
    with ShardedParquet(path, SCHEMA, ["name", "id"], trainer()) as file:
        file.write({"id": np.array([9, 10, 2]), "name": "b", "value": [1, 2, 3], "seen": True})
        assert not path.exists(), "the file appears whole or not at all"
        file.write({"seen": pa.array([None, False]), "value": 0.5, "name": ["b", "a"], "id": [1, 7]})
    assert rows(path) == [
        (7, "a", 0.5, False),
        (1, "b", 0.5, None),
        (2, "b", 3, True),
        (9, "b", 1, True),
        (10, "b", 2, True),
    ]
    assert [each.name for each in path.parent.iterdir()] == ["rows.parquet"]


def test_two_ranks_merge_in_order(tmp_path):
    path = tmp_path / "rows.parquet"
    first, second = (ShardedParquet(path, SCHEMA, ["id"], trainer(rank, 2)) for rank in range(2))
    first.write({"id": [0, 2, 4], "name": "rank 0", "value": 0, "seen": True})
    second.write({"id": [1, 3], "name": "rank 1", "value": 1, "seen": False})
    second.close()
    assert not path.exists(), "only the first process merges"
    first.close()
    assert [(row[0], row[1]) for row in rows(path)] == [(k, f"rank {k % 2}") for k in range(5)]
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_no_rows_give_an_empty_table(tmp_path):
    ShardedParquet(tmp_path / "rows.parquet", SCHEMA, ["id"], trainer()).close()
    assert rows(tmp_path / "rows.parquet") == []


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "rows.parquet"

    def write_and_fail():
        with ShardedParquet(path, SCHEMA, ["id"], trainer()) as file:
            file.write({"id": [0], "name": "x", "value": 0, "seen": True})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []
    with ShardedParquet(path, SCHEMA, ["id"], trainer()) as file:
        file.write({"id": [5], "name": "x", "value": 0, "seen": True})
    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert [row[0] for row in rows(path)] == [5]
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_failed_merge_leaves_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    file = ShardedParquet(path, SCHEMA, ["id"], trainer())
    file.write({"id": [0], "name": "x", "value": 0, "seen": True})

    def fail(table, where):
        where.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        file.close()
    file.abandon()
    assert list(tmp_path.iterdir()) == []


def test_columns_must_fit_the_schema(tmp_path):
    file = ShardedParquet(tmp_path / "rows.parquet", SCHEMA, ["id"], trainer())
    with pytest.raises(KeyError, match="seen"):
        file.write({"id": [0], "name": "x", "value": 0})
    file.abandon()
