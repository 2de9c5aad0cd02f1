"""The wheel: what is in it, and that it works from an empty folder, beside another project's `callbacks`."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch

from somscope import __version__
from tests.test_house import MAY_IMPORT
from tests.whole_runs import ROOT

TINY = ["--config", "configs/quickstart.yaml", "--config", "configs/debug/tiny.yaml", "--quiet"]
TINY += ["--model.weights", "none", "--data.per_class", "null"]
USE = """
import callbacks, numpy as np, som, codes, measures
assert callbacks.MINE
som.SOM(3, 4, epochs=1).fit(np.random.default_rng(0).random((20, 2)))
codes.CodeExtractor(codes.load_backbone("resnet18", weights="none"), ["layer1"], image_size=64)
measures.QuantisationError()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what is under version control or would be, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*MAY_IMPORT, "configs", "train.py", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    words = ["wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", out, source]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment that has the wheel, and the packages that these tests run with but not the checkout."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    words = ["install", "--no-deps", "--quiet", "--no-warn-script-location", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", folder / "bin" / "python", *words], check=True)
    return folder / "bin"


def run(*words, folder):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_wheel_puts_nothing_in_anybodys_place(wheel):
    assert __version__ in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "som",
        "codes",
        "measures",
        "somscope",
        f"somscope-{__version__}.dist-info",
    }
    ours = {str(path.relative_to(ROOT)) for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py")}
    ours |= {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")} | {"train.py"}
    packed = {name.removeprefix("somscope/rooms/") for name in names if name.endswith((".py", ".yaml"))}
    assert packed == ours, "every source file and configuration, and no test"
    assert {name for name in names if name.endswith("py.typed")} == {
        f"{name}/py.typed" for name in ("som", "codes", "measures", "somscope")
    }


@pytest.mark.slow
def test_the_installed_command_runs_every_stage_from_an_empty_folder(installed, tmp_path):
    result = run(installed / "somscope", *TINY, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "the run's folder: runs/quickstart/version_0" in result.stdout
    assert result.stderr == "", "quiet"
    left = {path.name for path in (tmp_path / "runs" / "quickstart" / "version_0").iterdir()}
    assert {"maps.safetensors", "measures.json", "adversarial.parquet"} < left


@pytest.mark.slow
def test_the_rooms_for_others_work_beside_a_project_with_the_same_names(installed, tmp_path):
    (tmp_path / "callbacks.py").write_text("MINE = True\n")
    result = run(installed / "python", "-c", USE, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    opened = "import somscope; somscope.open_rooms(); from lightning_modules import CodeSOM; import callbacks"
    result = run(installed / "python", "-c", f"{opened}; print(callbacks.MapAnalysis)", folder=tmp_path)
    assert "callbacks.analysis.MapAnalysis" in result.stdout, result.stderr


@pytest.mark.slow
def test_the_installed_command_helps_and_refuses(installed, tmp_path):
    assert "--model.backbone" in run(installed / "somscope", "--help", folder=tmp_path).stdout
    result = run(installed / "somscope", "layers", "--backbone", "resnet19", folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("somscope: error: backbone 'resnet19' is unknown; did you mean")
