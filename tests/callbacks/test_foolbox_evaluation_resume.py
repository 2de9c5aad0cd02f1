import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from callbacks.attack import batch as attack_batch
from tests.callbacks.attack_stage import ROUNDING, failing_at, run, same_ledgers
from tests.callbacks.conftest import make_data, make_module, make_trainer
from tests.callbacks.interrupted import evaluation
from tests.close import assert_close


def test_an_interrupted_stage_goes_on_where_it_was(tmp_path, root, monkeypatch):
    whole, measures = run(tmp_path / "whole", root)
    folder = tmp_path / "stopped" / "run" / "v"
    with monkeypatch.context() as patch:
        patch.setattr(attack_batch, "run_attack", failing_at(8))  # in PGD on the second batch of 4
        with pytest.raises(RuntimeError, match="the power is gone"):
            run(tmp_path / "stopped", root)
    assert not [path for path in folder.iterdir() if path.name in ("adversarial.parquet", "measures.json")]
    kept = sorted(path.name for path in (folder / ".adversarial.parts").glob("*.parquet"))
    assert kept == ["fgsm@000000000.parquet", "pgd@000000000.parquet"]
    attacked = []
    attack = attack_batch.run_attack
    monkeypatch.setattr(attack_batch, "run_attack", lambda *a, **k: attacked.append(a[3].tolist()) or attack(*a, **k))
    again, measures_again = run(tmp_path / "stopped", root, data=make_data(root, batch_size=3))  # of another size
    assert attacked == [[4, 5]] * 6, "image 3 had its rows, 6 to 8 are wrong when clean"
    same_ledgers(again, whole)
    assert_close(measures_again, measures, **ROUNDING)
    assert not list(folder.glob(".*part*"))


@pytest.mark.slow
def test_a_stage_that_was_killed_leaves_the_ledger_of_one_that_was_not(tmp_path, root):
    """kill -9 between any two parts, several times over; the bytes of the ledger are the same in the end."""

    def finish(folder):
        trainer = make_trainer(folder, evaluation())
        data = make_data(root, batch_size=2)
        trainer.test(make_module("imagenet_classes"), datamodule=data, verbose=False)
        return folder / "run" / "v"

    whole, stopped = finish(tmp_path / "whole"), tmp_path / "stopped"
    parts = stopped / "run" / "v" / ".adversarial.parts"
    for wanted in (2, 5, 8):
        command = [sys.executable, "-m", "tests.callbacks.interrupted", str(stopped), str(root)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(parts.glob("*.parquet"))) < wanted:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(list(parts.glob("*.parquet"))) >= 8, "each start kept what the last had left"
    again = finish(stopped)
    assert (again / "adversarial.parquet").read_bytes() == (whole / "adversarial.parquet").read_bytes()
    assert (again / "measures.json").read_text() == (whole / "measures.json").read_text()
    names = sorted(path.name for path in (whole / "adversarial_images").iterdir())
    assert len(names) == 5
    for name in names:
        one, other = ((folder / "adversarial_images" / name).read_bytes() for folder in (again, whole))
        assert one == other, name
    assert not parts.exists()


def test_parts_of_other_settings_are_refused(tmp_path, root, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(attack_batch, "run_attack", failing_at(8))
        with pytest.raises(RuntimeError, match="the power is gone"):
            run(tmp_path, root)
    message = r"holds the batches of an attack that was interrupted, with other settings \(attacks, seed\)"
    with pytest.raises(ValueError, match=message):
        run(tmp_path, root, epsilons=[3], seed=2)
    assert list((tmp_path / "run" / "v" / ".adversarial.parts").iterdir()), "nothing was deleted"


def test_an_exception_leaves_an_earlier_ledger(tmp_path, root, monkeypatch):
    before, _ = run(tmp_path, root, epsilons=[1])
    monkeypatch.setattr(attack_batch, "run_attack", failing_at(4))
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(tmp_path, root)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "v" / "adversarial.parquet"), before)
