"""What `--resume` says of a run whose files are broken; tests/test_resume.py has all else."""

import shutil

import pytest

import train
from tests.whole_runs import options, own_argv, tree  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def fitted(own_argv, tree, tmp_path_factory):  # noqa: F811
    """What a fit alone leaves in the folder of its runs."""
    base = tmp_path_factory.mktemp("fitted")
    train.main(options(tree, base, stages="[]"))
    return base


@pytest.mark.parametrize("content", ["{", "[]", '{"whole": 3, "command": "fit"}', '{"whole": []}', b"\xff"])
@pytest.mark.parametrize("name", ["stages.json", "config.yaml"])
def test_a_broken_file_of_the_run_is_named(fitted, tree, tmp_path, name, content):  # noqa: F811
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "somscope" / "version_0" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"^'{path}' is broken|--resume: the settings differ") as refusal:
        train.main([*options(tree, tmp_path, stages="[]"), "--resume"])
    assert "\n" not in str(refusal.value)
