"""The tutorial notebook: it runs from its first cell to its last, and is kept with the outputs of its own code."""

import base64
import io
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from PIL import Image

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorials" / "images_to_depth_profile.ipynb"
PICTURES = {"image/png", "image/jpeg"}
# What the text says of the numbers, whose last places differ from CPU to CPU.
SAID = """
assert all(som.topographic_error(val[depth]) < 0.2 for depth, som in maps.items())
lift, ratio, transfer = (trained[name] for name in ("collision_lift", "distance_ratio", "label_transfer"))
assert lift["CL4"] > lift["CL1"] and ratio["CL4"] < 0.7 * ratio["CL1"] and transfer["CL4"] > transfer["CL1"]
lift, ratio, transfer = (control[name] for name in ("collision_lift", "distance_ratio", "label_transfer"))
assert lift["CL4"] < lift["CL1"] and ratio["CL4"] > 0.9 * ratio["CL1"] and transfer["CL4"] < transfer["CL1"]
for numbers in (trained, control):
    for depth in maps:
        assert numbers["collision_lift"][depth] > numbers["collision_lift_null_high"][depth]
        assert numbers["distance_ratio"][depth] < numbers["distance_ratio_null_low"][depth]
        assert numbers["label_transfer"][depth] > numbers["label_transfer_null_high"][depth]
assert right.sum() == 18 and noise_right[right].sum() > 15 and not still_right.any()
moved, by_noise = ({d: (units[d] != before[d])[right].sum() for d in maps} for units in (after, after_noise))
assert max(moved["CL1"], moved["CL2"], moved["CL3"]) < 9 < moved["CL4"] < 18 and by_noise["CL4"] < 3
"""


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def run(notebook):
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook):
    """What each cell shows, but for warnings: {"stdout"}, {"image/png", "text/plain"} and so on."""
    shown = []
    for cell in code(notebook):
        names = {output.get("name", output.output_type) for output in cell.outputs} - {"stderr", "execute_result"}
        shown.append(names.union(*(output.data for output in cell.outputs if "data" in output)))
    return shown


def pictures(notebook):
    found = [output.data for cell in code(notebook) for output in cell.outputs if "data" in output]
    return [Image.open(io.BytesIO(base64.b64decode(data[kind]))) for data in found for kind in PICTURES & data.keys()]


def test_it_is_kept_with_its_outputs(notebook):
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 600_000
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1)), "run in order"
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert not {"stderr", "error"} & {output.get("name", output.output_type) for output in outputs}
    assert len(pictures(notebook)) == 8
    assert all(picture.convert("L").getextrema()[0] < 100 < picture.width for picture in pictures(notebook)), "empty"


def test_cells_are_short(notebook):
    assert all(len(cell.source.splitlines()) < 25 for cell in code(notebook))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own
def test_it_runs_and_says_what_it_finds(notebook):
    kept = kinds(notebook)
    notebook.cells.append(new_code_cell(SAID))
    run(notebook)
    assert kinds(notebook) == [*kept, set()]
