"""What the README and the docs tell a reader to type: Python blocks run, commands are taken by the command line."""

import importlib.util
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

import codes
import train
from somscope import __version__
from tests.conftest import write_tree
from tests.doc_blocks import PAGES, ROOT, blocks, commands, one_cpu, words
from tests.whole_runs import own_argv, run_folder  # noqa: F401 (a fixture)

RUN = ["--config=configs/quickstart.yaml", "--config=configs/debug/tiny.yaml", "--model.weights=none"]
RUN += ["--data.per_class=null", "--trainer.enable_progress_bar=false"]
# What the text around a page's blocks speaks of.
GIVEN = {
    "measures.md": """
import torch
from measures import energy_distances, permutation_test
from som import SelfOrganizingMap

som = SelfOrganizingMap(3, 4, 5)
lattice = som.lattice
hits = torch.randint(0, 9, (6, 12), generator=torch.Generator().manual_seed(0))
"""
}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
STORE = "efficientnet_lite0-0123456789ab"  # as the docs call one


@pytest.fixture(scope="module")
def desk(own_argv, tmp_path_factory):  # noqa: F811
    """A folder with what the pages take for granted: images, a run under every name, a store, codes, blocks' files."""
    folder = tmp_path_factory.mktemp("desk")
    write_tree(folder / "DIR", {"train": 8, "val": 2})
    run = run_folder(
        train.main([*RUN, f"--store={folder / 'stores'}", f"--trainer.logger.init_args.save_dir={folder}"])
    )
    text = "".join(page.read_text() for page in PAGES)
    for name in {*re.findall(r"runs/\w+/version_\d+", text), "RUN"}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(run)
    (store,) = (folder / "stores").iterdir()
    (folder / "runs" / "codes").mkdir(exist_ok=True)
    (folder / "runs" / "codes" / STORE).symlink_to(store)
    shutil.copy(run / "measures.json", folder)
    np.save(folder / "codes.npy", np.random.default_rng(0).random((600, 5), np.float32))
    (folder / "configs" / "gpus").mkdir(parents=True)
    (folder / "configs" / "gpus" / "8.yaml").write_text(yaml.safe_dump(one_cpu()))
    return folder


@pytest.fixture
def reader(desk, tmp_path, monkeypatch):
    """A process of a reader: in that folder, which Python looks into; the catalog is put back."""
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(desk)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    before = dict(codes.CATALOG)
    yield desk
    codes.CATALOG.clear()
    codes.CATALOG.update(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, reader):
    shared: dict[str, object] = {"__name__": "__main__"}
    exec(GIVEN.get(page.name, ""), shared)
    for block in blocks(page, "python"):
        if block.why_not is None:
            if block.file:
                (reader / block.file).write_text(block.text)
            exec(compile(block.text, str(block), "exec"), shared)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_bash_blocks_are_bash(page):
    for block in blocks(page, "bash"):
        parsed = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
        assert (parsed.returncode, parsed.stderr) == (0, ""), block


def test_blocks_that_are_not_run_say_why():
    reasons = [block.why_not for page in PAGES for block in blocks(page) if block.why_not]
    assert all(len(reason.split()) > 3 for reason in reasons)
    assert {block.kind for page in PAGES for block in blocks(page)} <= {"python", "bash", "text", "yaml", "bibtex"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_of_a_page_are_taken(page, capsys, monkeypatch, tmp_path):
    for block in blocks(page, "python"):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for command in commands(page):
        program, *rest = words(command)
        if program == "make":
            assert [word for word in rest if "=" not in word and word not in targets] == [], command
        elif rest[:1] == ["-m"]:
            assert importlib.util.find_spec(rest[1]), command
        elif program == "somscope" or rest[:1] == ["train.py"]:
            take(rest[program == "python" :], capsys, command)


def take(words, capsys, command):
    """Have the command line parse the words, and run nothing."""
    capsys.readouterr()
    if words[:1] and words[0] in train.COMMANDS:
        if words[0].startswith("--"):
            return
        with pytest.raises(SystemExit) as end:
            train.COMMANDS[words[0]](["--help"])
        text = capsys.readouterr().out
        assert [word for word in words if word.startswith("--") and word not in text] == [], command
    elif "--help" not in words:
        with pytest.raises(SystemExit) as end:
            train.main([*words, "--print_config"])
        assert yaml.safe_load(capsys.readouterr().out)["model"], command
    else:
        return
    assert end.value.code == 0, command


def test_links_lead_somewhere():
    for page in PAGES:
        text = page.read_text()
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_hooks_are_few():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert len(repository["hooks"]) <= 5


def test_examples_of_the_guide_are_short():
    for block in blocks(ROOT / "CONTRIBUTING.md", "python"):
        assert len(block.text.splitlines()) < 30, block


def test_the_citation_names_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
