"""The example scripts start a run on several processes, with what stands in for a cluster."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from tests.conftest import write_tree
from tests.whole_runs import ROOT, options

SCRIPTS = ROOT / "scripts"
SRUN = """#!/usr/bin/env bash
# Two tasks of SLURM's environment on this machine.
shift
for rank in 0 1; do
    SLURM_NTASKS=2 SLURM_JOB_NAME=somscope SLURM_JOB_ID=12345 SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NODEID=0 \\
        SLURM_NTASKS_PER_NODE=2 SLURM_NNODES=1 SLURM_JOB_NODELIST=127.0.0.1 "$@" &
    jobs="$jobs $!"
done
for job in $jobs; do wait "$job" || exit 1; done
"""


@pytest.mark.parametrize("path", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_the_scripts_are_bash(path):
    subprocess.run(["bash", "-n", path], check=True)
    assert os.access(path, os.X_OK)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sbatch"])
def test_two_processes_by_script(tmp_path, script):
    tree = write_tree(tmp_path / "images", {"train": 4, "val": 2, "test": 1})
    words = options(tree, tmp_path / "runs", **{"trainer.devices": 2, "trainer.strategy": "ddp"})
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "GPUS": "2"}
    environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(ROOT), "RESTARTS": "0"}
    command = ["bash", SCRIPTS / script, *words]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    (folder,) = (tmp_path / "runs" / "somscope").iterdir()
    assert json.loads((folder / "stages.json").read_text())["whole"] == ["analyse", "attack", "fit"]
    assert len(pd.read_parquet(folder / "bmus.parquet")) == 6 * 2
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"nothing to resume: the run in '{folder}' is whole" in again.stdout + again.stderr
