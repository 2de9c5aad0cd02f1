import pytest
import torch

from som import SOM
from som.checkpoint import Checkpoint
from som.fitting import Fit
from som.storage import read_tensors, write_tensors
from tests.som.test_batch_fit import blobs

RULES = {
    "batch": {"rule": "batch"},
    "batch, pruned": {"rule": "batch", "search": "pruned"},
    "batch, offset": {"rule": "batch", "search": "pruned", "offset": 1e4},
    "batch, deterministic": {"rule": "batch", "deterministic": True},
    "batch, standardised": {"rule": "batch", "standardise": True},
    "gradient": {"rule": "gradient", "alpha": (0.7, 0.2)},
    "gradient, heskes": {"rule": "gradient", "alpha": (0.7, 0.2), "winner": "heskes"},
    "gradient, soft": {"rule": "gradient", "alpha": (0.7, 0.2), "winner": "soft"},
    "gradient, cosine": {"rule": "gradient", "alpha": (0.7, 0.2), "distance": "cosine"},
    "ema": {"rule": "ema", "alpha": (0.9, 0.3)},
    "ema, deterministic": {"rule": "ema", "alpha": (0.9, 0.3), "deterministic": True},
}


class Stopped(Exception):
    pass


def make(path=None, offset=0.0, **options):
    options = {"sigma": (1.6, 0.4), "epochs": 6, "batch_size": 32, "random_state": 0} | options
    return SOM(3, 5, checkpoint=path, **options)


def stop_after(monkeypatch, epochs):
    run = Fit.run_epoch

    def dying(fit):
        if fit.progress.epoch == epochs:
            raise Stopped
        run(fit)

    monkeypatch.setattr(Fit, "run_epoch", dying)


@pytest.mark.parametrize("rule", RULES)
def test_half_a_fit_and_the_rest_are_a_fit_bit_for_bit(rule, tmp_path, monkeypatch):
    codes, path = blobs(100, offset=RULES[rule].get("offset", 0.0)), tmp_path / "fit"
    whole = make(**RULES[rule]).fit(codes)
    stop_after(monkeypatch, 3)
    with pytest.raises(Stopped):
        make(path, **RULES[rule]).fit(codes)
    monkeypatch.undo()
    assert read_tensors(path)[1]["progress"]["epoch"] == 3
    epochs, run = [], Fit.run_epoch
    monkeypatch.setattr(Fit, "run_epoch", lambda fit: (epochs.append(fit.progress.epoch), run(fit)))
    resumed = make(path, **RULES[rule]).fit(codes)
    assert epochs == [3, 4, 5]
    assert (resumed.prototypes_ == whole.prototypes_).all()
    assert (resumed.labels_ == whole.labels_).all()
    assert resumed.progress_.mean_squared_distance == whole.progress_.mean_squared_distance
    assert resumed.progress_.sigma == whole.progress_.sigma
    for name, value in whole.map_.state_dict().items():
        assert torch.equal(resumed.map_.state_dict()[name], value)


def test_a_fit_that_is_done_is_not_done_again(tmp_path, monkeypatch):
    codes = blobs(60)
    one = make(tmp_path / "fit").fit(codes)
    monkeypatch.setattr(Fit, "run_epoch", None)
    two = make(tmp_path / "fit").fit(codes)
    assert (one.prototypes_ == two.prototypes_).all()
    assert (one.labels_ == two.labels_).all()
    assert two.n_iter_ == 6


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("epochs", {"epochs": 7}),
        ("rows", {"rows": 4}),
        ("sigma", {"sigma": (1.6, 0.5)}),
        ("rule", {"rule": "ema"}),
        ("deterministic", {"deterministic": True}),
        ("seed", {"random_state": 1}),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(key, other, tmp_path):
    make(tmp_path / "fit").fit(blobs(60))
    before = (tmp_path / "fit").read_bytes()
    with pytest.raises(ValueError, match=f"is of another fit: its {key} is .*, this one's is"):
        make(tmp_path / "fit").set_params(**other).fit(blobs(60))
    assert (tmp_path / "fit").read_bytes() == before


def test_the_checkpoint_of_other_codes_is_refused(tmp_path):
    make(tmp_path / "fit").fit(blobs(60))
    for codes, key in ((blobs(61), "samples"), (blobs(60, 7), "dimensions")):
        with pytest.raises(ValueError, match=f"its {key} is"):
            make(tmp_path / "fit").fit(codes)


def test_no_checkpoint(tmp_path):
    write_tensors(tmp_path / "fit", {"map.prototypes": torch.zeros(15, 6)}, {})
    with pytest.raises(ValueError, match="is of another fit"):
        make(tmp_path / "fit").fit(blobs(60))
    (tmp_path / "fit").write_text("no checkpoint")
    with pytest.raises(ValueError, match="is no map"):
        make(tmp_path / "fit").fit(blobs(60))


def test_a_half_written_checkpoint_replaces_nothing(tmp_path, monkeypatch):
    codes, path = blobs(60), tmp_path / "fit"
    whole = make().fit(codes)
    save, calls = __import__("som.storage").storage.save_file, []

    def crash(tensors, partial, metadata):
        calls.append(partial)
        if len(calls) == 3:
            partial.write_bytes(b"half of")
            raise OSError("disk full")
        save(tensors, partial, metadata=metadata)

    monkeypatch.setattr("som.storage.save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        make(path).fit(codes)
    monkeypatch.undo()
    assert read_tensors(path)[1]["progress"]["epoch"] == 2
    assert (make(path).fit(codes).prototypes_ == whole.prototypes_).all()


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    som = make().partial_fit(blobs(60))
    som._fit.source = som._source(blobs(60), reset=False)
    monkeypatch.setattr("som.checkpoint.processes", lambda: (1, 2))
    Checkpoint(tmp_path / "fit", {}).write(som._fit)
    assert list(tmp_path.iterdir()) == []


def test_without_a_random_state_a_fit_goes_on_with_its_own_seed(tmp_path, monkeypatch):
    codes, path = blobs(60), tmp_path / "fit"
    assert Checkpoint(path, {}).seed is None
    stop_after(monkeypatch, 3)
    with pytest.raises(Stopped):
        make(path, rule="gradient", alpha=(0.7, 0.2), random_state=None).fit(codes)
    monkeypatch.undo()
    seed = read_tensors(path)[1]["settings"]["seed"]
    assert Checkpoint(path, {}).seed == seed
    resumed = make(path, rule="gradient", alpha=(0.7, 0.2), random_state=None).fit(codes)
    assert resumed._fit.plan.seed == seed
    assert resumed.n_iter_ == 6
