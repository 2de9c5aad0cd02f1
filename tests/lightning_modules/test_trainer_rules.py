import datetime

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_modules.trainer_rules import check_trainer, fit_steps
from tests.tiny import make_data, make_model, make_trainer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "64-true"}, r"trainer\.precision is 64-true: choose 32-true or bf16-mixed"),
        ({"precision": "bf16-true"}, r"trainer\.precision is bf16-true"),
        ({"gradient_clip_val": 0.5}, r"trainer\.gradient_clip_val is 0\.5: clipping breaks Kohonen's rule"),
        ({"accumulate_grad_batches": 2}, r"trainer\.accumulate_grad_batches is 2: .* raise data\.batch_size"),
        ({"overfit_batches": 0.5}, r"trainer\.overfit_batches is 0\.5: .* use limit_train_batches"),
        ({"max_epochs": -1}, r"trainer\.max_epochs is -1: the schedules of sigma and alpha need it, or max_steps"),
        ({"max_time": datetime.timedelta(hours=1)}, r"trainer\.max_time is set: .* use max_epochs or max_steps"),
        ({"max_time": "00:01:00:00", "max_steps": 9}, r"trainer\.max_time is set"),
    ],
)
def test_settings_that_would_change_what_is_learnt_are_refused(make_tree, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        check_trainer(make_trainer(tmp_path, **settings))
    data = make_data(make_tree({"train": 4, "val": 2}))
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **settings).fit(make_model(), datamodule=data)


def test_a_stage_that_would_do_nothing_is_refused_and_no_other(make_tree, tmp_path):
    data, model = make_data(make_tree({"train": 4, "val": 2})), make_model()
    with pytest.raises(ValueError, match=r"trainer\.limit_train_batches is 0"):
        make_trainer(tmp_path, limit_train_batches=0).fit(model, datamodule=data)
    with pytest.raises(ValueError, match=r"trainer\.max_epochs is 0"):
        make_trainer(tmp_path, max_epochs=0).fit(model, datamodule=data)
    trainer = make_trainer(tmp_path, limit_val_batches=0, limit_test_batches=0)
    trainer.fit(model, datamodule=data)
    assert model.samples_seen == 24
    with pytest.raises(ValueError, match=r"trainer\.limit_val_batches is 0"):
        trainer.validate(model, datamodule=data)
    with pytest.raises(ValueError, match=r"trainer\.limit_test_batches is 0"):
        trainer.test(model, datamodule=data)
    trainer = make_trainer(tmp_path, limit_train_batches=0, max_epochs=0, check_val_every_n_epoch=0)
    assert trainer.validate(model, datamodule=data, verbose=False)


@pytest.mark.parametrize("rule", ["batch", "ema"])
def test_checkpoints_by_time_are_refused_where_lightning_would_write_none(make_tree, tmp_path, rule):
    def trainer():
        keep = ModelCheckpoint(tmp_path / "kept", train_time_interval=datetime.timedelta(0))
        return make_trainer(tmp_path, keep, enable_checkpointing=True)

    data = make_data(make_tree({"train": 4, "val": 2}))
    message = rf"checkpoint\.train_time_interval is set: under rule '{rule}' Lightning never saves by time, use every_n"
    with pytest.raises(ValueError, match=message):
        trainer().fit(make_model(rule=rule), datamodule=data)
    assert not (tmp_path / "kept").exists()
    trainer().fit(make_model(), datamodule=data)
    assert list((tmp_path / "kept").glob("*.ckpt"))


@pytest.mark.parametrize(("settings", "rest"), [({"max_steps": 4}, 1), ({"max_epochs": -1, "max_steps": 2}, 2)])
def test_a_batch_fit_is_of_whole_epochs(make_tree, tmp_path, settings, rest):
    data = make_data(make_tree({"train": 4, "val": 2}))  # epochs of 3 steps
    message = rf"trainer\.max_steps is {settings['max_steps']}: .* an epoch of 3 steps, so the last {rest} would teach"
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **settings).fit(make_model(rule="batch"), datamodule=data)
    for allowed in ({"max_steps": 3}, {"max_steps": 40}, {"fast_dev_run": 2}):
        model = make_model(rule="batch")
        make_trainer(tmp_path, **allowed).fit(model, datamodule=data)
        assert model.samples_seen == model.samples_planned
    model = make_model(rule="ema")
    make_trainer(tmp_path, **settings).fit(model, datamodule=data)
    assert model.samples_seen == 4 * settings["max_steps"]


@pytest.mark.parametrize("precision", [32, "32-true", "bf16-mixed"])
def test_what_is_allowed_fits(make_tree, tmp_path, precision):
    model = make_model()
    trainer = make_trainer(tmp_path, precision=precision, val_check_interval=0.5)
    trainer.fit(model, datamodule=make_data(make_tree({"train": 4, "val": 2})))
    assert model.samples_seen == model.samples_planned == 24
    assert all(som.prototypes.dtype == torch.float32 for som in model.maps.values())


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 6),  # 2 epochs of 3 batches
        ({"max_steps": 4}, 4),
        ({"max_steps": 40}, 6),
        ({"max_epochs": -1, "max_steps": 5}, 5),
        ({"limit_train_batches": 0.7}, 4),
        ({"limit_train_batches": 2, "max_steps": 3}, 3),
        ({"fast_dev_run": 2}, 2),
    ],
)
def test_a_fit_has_as_many_steps_as_it_takes(make_tree, tmp_path, settings, steps):
    model = make_model(sigma=(2, 0.7))
    trainer = make_trainer(tmp_path, **settings)
    trainer.fit(model, datamodule=make_data(make_tree({"train": 4, "val": 2})))
    assert fit_steps(trainer) == trainer.global_step == steps
    assert model.samples_seen == model.samples_planned == 4 * steps
    last = float(trainer.callback_metrics["fit/sigma"])
    assert last == pytest.approx(2 * 0.35 ** ((steps - 1) / steps), rel=1e-5)
