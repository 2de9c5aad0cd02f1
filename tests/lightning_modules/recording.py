"""What the tests of the shell see of a fit: its steps, its checkpoints, and its state."""

import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from tests.tiny import make_data, make_model, make_trainer, prototypes


class Recorder(Callback):
    """What every step saw: codes, ids, rate, sigma, and the prototypes before and after."""

    def __init__(self):
        self.steps = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        with torch.no_grad():
            codes = pl_module.extractor(batch["image"]).codes
        self.steps.append({"codes": codes, "ids": batch["id"].tolist(), "before": prototypes(pl_module)})

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step = self.steps[-1]
        step["after"] = prototypes(pl_module)
        step["sigma"] = float(trainer.callback_metrics["fit/sigma"])
        step["alpha"] = [group["lr"] for group in trainer.optimizers[0].param_groups]
        step["logged_alpha"] = float(trainer.callback_metrics["fit/alpha"])


class Saver(Callback):
    """Saves after every step and after every epoch; no ModelCheckpoint, whose absence on a resume is a warning."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, trainer, *args):
        trainer.save_checkpoint(self.folder / f"step={trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer, *args):
        trainer.save_checkpoint(self.folder / f"epoch={trainer.current_epoch}.ckpt")


def fitted(tree, folder, *callbacks, data=None, path=None, **settings):
    model = make_model(**settings)
    keeps = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    trainer = make_trainer(folder, *callbacks, enable_checkpointing=keeps)
    trainer.fit(model, datamodule=make_data(tree, **(data or {})), ckpt_path=path)
    return model


def state(model):
    return {name: value for name, value in model.state_dict().items() if not name.startswith("extractor.")}


def assert_equal_states(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name
