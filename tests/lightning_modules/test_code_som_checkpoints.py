import warnings

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_modules import CodeSOM, map_start
from tests.lightning_modules.recording import Recorder, Saver, assert_equal_states, fitted, state
from tests.tiny import DOTTED, make_data, make_model, make_trainer


def test_the_checkpoint_is_plain_small_and_whole(tree, tmp_path):
    keep = ModelCheckpoint(tmp_path / "kept", save_last=True, save_top_k=0)
    model = fitted(tree, tmp_path, keep, taps=DOTTED)
    checkpoint = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    parts = {"prototypes", "initialised", "standardiser.count", "standardiser.mean", "standardiser.m2"}
    assert checkpoint["state_dict"].keys() == {f"_maps.{i}.{part}" for i in (0, 1) for part in parts}
    assert checkpoint["samples_seen"] == 24
    assert checkpoint["backbone_digest"] == model.extractor.backbone.digest
    assert checkpoint["hyper_parameters"]["taps"] == DOTTED

    other = CodeSOM.load_from_checkpoint(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert_equal_states(other.state_dict(), model.state_dict())
    assert other.samples_seen == 24
    validated = {}
    for name, each in (("own", model), ("restored", make_model(taps=DOTTED))):
        path = None if name == "own" else tmp_path / "kept" / "last.ckpt"
        trainer = make_trainer(tmp_path, ModelCheckpoint(tmp_path / "kept", save_top_k=0), enable_checkpointing=True)
        trainer.validate(each, datamodule=make_data(tree), ckpt_path=path, verbose=False)
        assert_equal_states(state(each), state(model))
        validated[name] = each.results
    # undefined measures are NaN, which compares with nothing
    assert repr(validated["own"]) == repr(validated["restored"])
    assert validated["own"]["quantisation_error"].keys() == set(DOTTED)


def test_the_caller_keeps_its_network_after_saving(tree, tmp_path):
    """Lightning hands over the live state_dict: leaving the backbone out must not touch the module."""
    model = fitted(tree, tmp_path, ModelCheckpoint(tmp_path / "kept", save_last=True, save_top_k=0))
    assert any(name.startswith("extractor.") for name in model.state_dict())


@pytest.mark.parametrize("settings", [{"seed": 1}, {"backbone": "tests.tiny:NotFinite", "seed": 2}])
def test_the_checkpoint_of_another_network_is_refused(tree, tmp_path, settings):
    fitted(tree, tmp_path, ModelCheckpoint(tmp_path / "kept", save_last=True, save_top_k=0))
    with pytest.raises(ValueError, match=r"fit on codes of another network: the weights of 'tests.tiny.* have digest"):
        fitted(tree, tmp_path, path=tmp_path / "kept" / "last.ckpt", **settings)


def test_a_checkpoint_of_another_module_is_refused(tree, tmp_path):
    fitted(tree, tmp_path, ModelCheckpoint(tmp_path / "kept", save_last=True, save_top_k=0))
    foreign = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    del foreign["backbone_digest"], foreign["samples_seen"]
    torch.save(foreign, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="is no checkpoint of CodeSOM"):
        fitted(tree, tmp_path, path=tmp_path / "foreign.ckpt")


RULES = [{}, {"distance": "cosine"}, {"rule": "batch"}, {"rule": "ema", "distance": "cosine"}]


@pytest.mark.parametrize(("num_workers", "settings"), [*((0, settings) for settings in RULES), (1, {})])
def test_a_resume_from_any_step_ends_bit_equal(tree, tmp_path, monkeypatch, num_workers, settings):
    monkeypatch.setattr(map_start, "POOL", 12)  # so that a checkpoint in the first epoch has partial statistics
    data = {"num_workers": num_workers, "batch_size": 3}
    settings = {"rows": 2, "cols": 3} | settings
    whole = fitted(tree, tmp_path, Saver(tmp_path), data=data, **settings)
    # 2 epochs of 4 batches; after step 4 the first is complete but for its end
    for step in range(1, 9) if num_workers == 0 else (2, 5):
        path = tmp_path / f"step={step}.ckpt"
        resumed = fitted(tree, tmp_path, data=data, path=path, **settings)
        assert_equal_states(state(resumed), state(whole))
        assert resumed.samples_seen == 24, path


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_resume_after_an_epoch_ends_bit_equal(tree, tmp_path, num_workers):
    data = {"num_workers": num_workers}
    whole = fitted(tree, tmp_path, Saver(tmp_path), data=data)
    resumed = fitted(tree, tmp_path, data=data, path=tmp_path / "epoch=0.ckpt")
    assert_equal_states(state(resumed), state(whole))


@pytest.mark.parametrize("settings", RULES)
def test_a_resume_from_lightnings_own_checkpoints_ends_bit_equal(tree, tmp_path, settings):
    def keep():
        return ModelCheckpoint(tmp_path / "kept", "{step}", every_n_train_steps=2, save_top_k=-1, save_last=True)

    whole = fitted(tree, tmp_path, keep(), **settings)
    paths = sorted((tmp_path / "kept").glob("*.ckpt"))
    assert [path.stem for path in paths] == ["last", "step=2", "step=4", "step=6"]  # of 2 epochs of 3 steps
    for path in paths:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            resumed = fitted(tree, tmp_path, keep(), path=path, **settings)
        assert_equal_states(state(resumed), state(whole))
        step = int(path.stem.removeprefix("step=").replace("last", "6"))
        saved = torch.load(path, weights_only=True)
        assert (saved["global_step"], saved["samples_seen"]) == (step, 4 * step)


def test_a_resume_under_a_limit_of_batches_ends_bit_equal(tree, tmp_path):
    """An epoch cut short by limit_train_batches is over: the next starts at its first batch."""
    steps = {}
    for name in (None, "epoch=0", "step=2", "step=3"):
        recorder, model = Recorder(), make_model()
        callbacks = (recorder, Saver(tmp_path)) if name is None else (recorder,)
        path = None if name is None else tmp_path / f"{name}.ckpt"
        make_trainer(tmp_path, *callbacks, limit_train_batches=2).fit(model, datamodule=make_data(tree), ckpt_path=path)
        steps[name] = [step["ids"] for step in recorder.steps], state(model)
    (ids, final), *resumed = steps.values()
    assert len(ids) == 4
    for first, (later, end) in zip((2, 2, 3), resumed, strict=True):
        assert later == ids[first:]
        assert_equal_states(end, final)
