"""The attack stage as tests run it, on the tiny modules of conftest, and what it leaves."""

import json

import pandas as pd
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import FoolboxEvaluation
from callbacks.attack import batch as attack_batch
from lightning_modules import CodeSOM
from measures import wilson_interval
from tests.callbacks.conftest import make_data, make_module, make_trainer

# Green images give way between 40 and 60 of 255, red ones between 60 and 80, in a single step.
EPSILONS = [80, 2, 60]
STEPS = 3
KINDS = ("clean", "adversarial", "control", "gaussian")
ROUNDING = {"rel": 1e-3, "abs": 1e-5}  # of measures, from batches of other sizes


def run(
    folder, root, module=None, data=None, epsilons=EPSILONS, attacks=("fgsm", "pgd"), seed=0, figures=False, **settings
):
    """Run the test stage; return its ledger and its part of measures.json. Figures take most of the time."""
    evaluation = FoolboxEvaluation(list(attacks), epsilons, STEPS, seed, pictures=figures)
    trainer = make_trainer(folder, evaluation, **settings)
    module = module or make_module("imagenet_classes")
    trainer.test(module, datamodule=data or make_data(root), verbose=False)
    out = folder / "run" / "v"
    return pd.read_parquet(out / "adversarial.parquet"), json.loads((out / "measures.json").read_text())["test"]


def run_with(folder, root, module=None, **settings):
    """A run with settings of the callback."""
    attacks = settings.pop("attacks", ["fgsm", "pgd"])
    evaluation = FoolboxEvaluation(attacks, EPSILONS, STEPS, pictures=False, **settings)
    trainer = make_trainer(folder, evaluation)
    trainer.test(module or make_module("imagenet_classes"), datamodule=make_data(root), verbose=False)
    out = folder / "run" / "v"
    return pd.read_parquet(out / "adversarial.parquet"), json.loads((out / "measures.json").read_text())["test"]


def units(ledger: pd.DataFrame, bmu: str) -> list[int]:
    """Unit numbers on a lattice with 4 columns."""
    return (ledger[f"{bmu}_row"] * 4 + ledger[f"{bmu}_col"]).tolist()


def same_ledgers(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-5)


def rate(successes: int, trials: int) -> dict[str, float]:
    low, high = wilson_interval(successes, trials)
    return {"rate": successes / trials, "low": low, "high": high, "trials": trials}


def text(folder) -> str:
    events = EventAccumulator(str(folder / "run" / "v")).Reload()
    (event,) = events.Tensors("test/reference/text_summary")
    return event.tensor_proto.string_val[0].decode()


def failing_at(call: int):
    """An attack that fails once, at its nth call."""
    attack, calls = attack_batch.run_attack, 0

    def failing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            raise RuntimeError("the power is gone")
        return attack(*args, **kwargs)

    return failing


def tiny() -> CodeSOM:
    """With BatchNorm, whose statistics would drift in training mode."""
    module = CodeSOM("tests.tiny:Tiny", taps={"CL1": "first", "CL2": "blocks.second"}, rows=3, cols=4)
    generator = torch.Generator().manual_seed(1)
    for depth, codes in module.extractor(torch.rand(24, 3, 20, 20, generator=generator)).codes.items():
        module.maps[depth].standardiser.update(codes)
        module.maps[depth].initialise(codes, generator=generator)
    return module
