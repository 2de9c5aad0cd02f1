import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from callbacks.attack.clean_hits import clean_hits
from callbacks.run_writer import BMU_SCHEMA
from tests.callbacks.ledgers import DEPTHS, group


def test_the_validation_images_of_the_analysis_are_counted(tmp_path):
    rng = np.random.default_rng(0)
    count = 60
    table = {
        "id": np.arange(count),
        "label": rng.integers(0, 3, count),
        "split": ["val"] * count,
        "depth": rng.choice(DEPTHS, count),
        "row": rng.integers(0, 4, count).astype(np.int32),
        "col": rng.integers(0, 5, count).astype(np.int32),
        "distance": np.zeros(count, np.float32),
    }
    pq.write_table(pa.table(table, BMU_SCHEMA), tmp_path / "bmus.parquet")
    hits, counted = clean_hits(tmp_path, group(9), 3)
    expected = {depth: np.zeros((3, 4, 5), int) for depth in DEPTHS}
    for label, depth, row, col in zip(*(table[name] for name in ("label", "depth", "row", "col")), strict=True):
        expected[depth][label, row, col] += 1
    assert counted == "validation images"
    for depth in DEPTHS:
        np.testing.assert_array_equal(hits[depth], expected[depth])


def test_without_an_analysis_the_test_images_themselves_are(tmp_path):
    found = group(9)
    rows = found.columns
    rows["label"] = np.array([0, 1, 2] * 3)
    found.attacked[:4] = False  # they have clean BMUs too
    hits, counted = clean_hits(tmp_path, found, 3)
    assert counted == "test images"
    for depth in DEPTHS:
        assert hits[depth].sum((1, 2)).tolist() == [3, 3, 3]
        for image in range(9):
            place = rows["label"][image], rows[f"{depth}_clean_row"][image], rows[f"{depth}_clean_col"][image]
            assert hits[depth][place] >= 1
