"""Every block of shell in the README and the docs runs, in bash, as a reader would type it.

In the reader's folder small maps, small images, random weights and a CPU are laid over the configurations: that a
command does what its page says of it is tested here, its numbers elsewhere. `make` is what CI runs.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.conftest import write_tree
from tests.doc_blocks import PAGES, ROOT, Block, blocks, one_cpu, put_in

NETWORK = """
from collections import OrderedDict

from torch import nn


def factory():
    blocks = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(4)))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 4, 7, 4), blocks=blocks, head=head))
"""
# Of a page that speaks of FILE.pth: the network whose weights that are.
OWN = {"README.md": ("package/module.py", "factory"), "backbone.md": ("my_networks.py", "small")}
SMALL = {"resize": 72, "crop": 64}
MADE_BEFORE = re.compile(r"\b(RUN\b|runs/\w+/version_\d+)")


def runs(block: Block) -> bool:
    return block.why_not is None and not all(re.match(r"make |#|$", line) for line in block.text.splitlines())


SHELL = [page for page in PAGES if any(runs(block) for block in blocks(page, "bash"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", SHELL, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_shell_of_a_page_runs(page, a_run, tmp_path):
    furnish(tmp_path, page)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = f"{tmp_path}{os.pathsep}{ROOT}"  # in a checkout these are one folder
    own = {"PATH": path, "PYTHONPATH": found, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "CI": "1"}
    for block in filter(runs, blocks(page, "bash")):
        text = re.sub(r"^make .*\n", "", put_in(block.text), flags=re.M)
        for name in MADE_BEFORE.findall(text):  # unless this page's own commands made it
            if not (tmp_path / name).exists():
                shutil.copytree(a_run, tmp_path / name)
        done = subprocess.run(
            ["bash", "-euxo", "pipefail"],
            timeout=1200,
            input=text,
            cwd=tmp_path,
            env=os.environ | own,
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr, f"{block}\n{done.stderr}"


@pytest.fixture(scope="module")
def a_run(tmp_path_factory) -> Path:
    """What the demo's command leaves behind."""
    folder = tmp_path_factory.mktemp("run")
    write_configs(folder, SMALL)
    call = [sys.executable, str(ROOT / "train.py"), "--config", "configs/quickstart.yaml"]
    subprocess.run(call, cwd=folder, check=True, capture_output=True)
    return folder / "runs" / "quickstart" / "version_0"


def furnish(folder: Path, page: Path) -> None:
    """Put what the page takes for granted into the reader's folder."""
    of_one_size = "vit_" in page.read_text()
    write_configs(folder, {} if of_one_size else SMALL)
    for name in ("train.py", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    write_tree(folder / "DIR", {"train": 8, "val": 2})
    for name in ("images", "cifar10", "superclasses"):
        (folder / name).symlink_to(folder / "DIR")
    (folder / "package").mkdir()
    (folder / "package" / "module.py").write_text(NETWORK)
    for block in blocks(page, "python"):
        if block.file:
            (folder / block.file).write_text(block.text)
    if page.name in OWN:
        name, factory = OWN[page.name]
        torch.save(network(folder / name, factory).state_dict(), folder / "FILE.pth")


def network(path: Path, factory: str) -> torch.nn.Module:
    spec = importlib.util.spec_from_file_location("own", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, factory)()


def write_configs(folder: Path, size: Mapping[str, int]) -> None:
    above = laid_over(one_cpu(), {"data": size})
    for path in (ROOT / "configs").rglob("*.yaml"):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(yaml.safe_dump(laid_over(yaml.safe_load(path.read_text()), above)))


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {key for key in below.keys() & above.keys() if isinstance(below[key], dict) and isinstance(above[key], dict)}
    return {**below, **above, **{key: laid_over(below[key], above[key]) for key in both}}
