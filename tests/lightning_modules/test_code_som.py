import math
import re
import warnings

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback

from lightning_modules import code_som, map_start
from tests.lightning_modules.recording import Recorder, Saver, fitted
from tests.som import reference
from tests.tiny import DOTTED, TAPS, make_data, make_model, make_trainer


def scheduled(kind, start, end, progress):
    match kind:
        case "linear":
            return start + (end - start) * progress
        case "exponential":
            return start * math.exp(progress * math.log(end / start))
        case "cosine":
            return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


@pytest.mark.parametrize(
    ("kind", "topology", "standardise"),
    [("linear", "torus", True), ("exponential", "plane", False), ("cosine", "torus", False)],
)
def test_every_step_is_kohonens_at_every_depth(tree, tmp_path, kind, topology, standardise):
    model = make_model(schedule=kind, topology=topology, standardise=standardise, sigma=(2, 0.7), alpha=(0.9, 0.3))
    recorder = Recorder()
    make_trainer(tmp_path, recorder, max_epochs=2).fit(model, datamodule=make_data(tree, batch_size=5))
    assert len(recorder.steps) == 4
    for number, step in enumerate(recorder.steps):
        progress = number * 5 / 20  # 20 samples in all: the remainder of 2 an epoch counts for nothing
        sigma, alpha = scheduled(kind, 2, 0.7, progress), scheduled(kind, 0.9, 0.3, progress)
        assert step["sigma"] == pytest.approx(sigma, rel=1e-6)
        assert step["logged_alpha"] == pytest.approx(alpha, rel=1e-6)
        assert step["alpha"] == pytest.approx([alpha, alpha], rel=1e-12)
        for depth in TAPS:
            codes = step["codes"][depth].double()
            if standardise:  # the maps started from every batch of the first epoch, so all of them are counted
                seen = torch.cat([other["codes"][depth] for other in recorder.steps[:2]]).double().numpy()
                spread = seen.std(0)
                codes = torch.from_numpy((codes.numpy() - seen.mean(0)) / np.where(spread == 0, 1, spread))
            before = step["before"][depth].double()
            bmu, *_ = reference.winners(codes, before)
            h = reference.weights(bmu, 3, 4, topology, sigma)
            expected = before.clone()
            for k in range(12):
                expected[k] += alpha / 5 * sum(h[b, k] * (codes[b] - before[k]) for b in range(5))
            torch.testing.assert_close(step["after"][depth].double(), expected, rtol=1e-5, atol=1e-5)
            assert not torch.equal(step["after"][depth], step["before"][depth])


def test_the_optimizer_is_plain_sgd_with_a_named_group_a_depth():
    model = make_model(taps=DOTTED)
    optimizer = model.configure_optimizers()
    assert type(optimizer) is torch.optim.SGD
    assert [group["name"] for group in optimizer.param_groups] == DOTTED
    for group, som in zip(optimizer.param_groups, model.maps.values(), strict=True):
        assert len(group["params"]) == 1
        assert group["params"][0] is som.prototypes
        assert {group[key] for key in ("momentum", "dampening", "weight_decay")} == {0}
        assert not group["nesterov"]
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"_maps.0.prototypes", "_maps.1.prototypes"}


class Meddler(Callback):
    """Calls train() wherever it can, on the module and deep inside it."""

    def _meddle(self, trainer, pl_module, *args, **kwargs):
        pl_module.train()
        pl_module.extractor.backbone.model.train()

    on_fit_start = on_train_start = on_train_epoch_start = on_train_batch_start = on_before_zero_grad = _meddle
    on_train_batch_end = on_validation_start = on_validation_epoch_start = on_validation_batch_start = _meddle
    on_validation_batch_end = on_validation_epoch_end = on_train_epoch_end = on_test_start = _meddle
    on_test_batch_start = _meddle


def test_nothing_changes_the_backbone(tree, tmp_path):
    model = make_model()
    backbone = model.extractor.backbone
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert any("running_mean" in name for name in before)
    data, images = make_data(tree), torch.rand(4, 3, 16, 16)
    codes = model.extractor(images).codes
    trainer = make_trainer(tmp_path, Meddler(), num_sanity_val_steps=1)
    trainer.fit(model, datamodule=data)
    trainer.validate(model, datamodule=data, verbose=False)
    trainer.test(model, datamodule=data, verbose=False)
    after = backbone.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    for depth, code in model.extractor(images).codes.items():  # no dropout either
        assert torch.equal(code, codes[depth])
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def hooks(model):
    return [name for name, module in model.extractor.backbone.named_modules() if module._forward_hooks]


@pytest.mark.parametrize("standardise", [True, False])
def test_codes_that_are_not_finite_name_the_row(tree, tmp_path, standardise):
    model = make_model(backbone="tests.tiny:NotFinite", standardise=standardise)
    with pytest.raises(ValueError, match=r"codes must be finite; row 1 holds NaN or infinity"):
        make_trainer(tmp_path).fit(model, datamodule=make_data(tree))
    assert hooks(model) == []


def test_codes_that_stop_being_finite_while_training_name_the_row(tree, tmp_path):
    class Break(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 3:
                batch["image"][2] = math.inf

    for standardise in (True, False):
        model = make_model(standardise=standardise)
        with pytest.raises(ValueError, match=r"codes must be finite; row 2 holds NaN or infinity \(1 of 4 rows do\)"):
            make_trainer(tmp_path, Break()).fit(model, datamodule=make_data(tree))
        assert hooks(model) == []


def test_an_exception_leaves_no_hook(tree, tmp_path):
    model = make_model()
    second = model.extractor.backbone.model.blocks["second"]
    inside = []

    def fail(module, inputs):
        inside.append(hooks(model))
        if len(inside) == 3:
            raise RuntimeError("out of memory")

    second.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        make_trainer(tmp_path).fit(model, datamodule=make_data(tree))
    assert inside[-1] == [f"model.{layer}" for layer in TAPS.values()], "the hooks were there when it happened"
    assert hooks(model) == []


def test_a_rate_that_diverges_is_stopped(tree, tmp_path):
    model = make_model(alpha=(50, 50))
    documented = (
        r"alpha 50 diverges on CL1 at sigma 2: alpha times the largest mean neighbourhood is [\d.]+ and must stay "
        r"below 2; set model.alpha to at most [\d.]+"
    )
    with pytest.raises(ValueError, match=documented) as error:
        make_trainer(tmp_path).fit(model, datamodule=make_data(tree))
    assert hooks(model) == []
    assert all(torch.isfinite(som.prototypes).all() for som in model.maps.values()), "stopped before the step"
    advised = float(str(error.value).rsplit(" ", 1)[1])
    assert 1.9 < advised < 50
    # The advice holds for the step at hand; a rate of 1.9 holds always, since a mean of h is at most 1.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_trainer(tmp_path).fit(make_model(alpha=(1.9, 1.9)), datamodule=make_data(tree))
    texts = [str(warning.message) for warning in caught]
    for depth in TAPS:
        pattern = rf"alpha 1.9 overshoots on {depth} \(its stability number is 1\.\d+, above 1\)"
        assert any(re.fullmatch(pattern, text) for text in texts)


@pytest.mark.parametrize(("alpha", "sigma"), [((0.5, 40), "0.7"), ((40, 0.5), "2")])
def test_a_rate_that_will_diverge_is_stopped_before_the_first_step(tree, tmp_path, alpha, sigma):
    recorder = Recorder()
    with pytest.raises(ValueError, match=rf"alpha 40 diverges on CL1 at sigma {sigma}: .*; set model.alpha to at most"):
        make_trainer(tmp_path, recorder).fit(make_model(alpha=alpha, rows=2, cols=2), datamodule=make_data(tree))
    assert recorder.steps == []


def test_a_rate_above_two_that_does_not_diverge_is_let_go(tree, tmp_path):
    model = make_model(alpha=(2.5, 2.5), sigma=(0.5, 0.3))  # few units share a code's pull
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "alpha 2.5 overshoots on")
        make_trainer(tmp_path).fit(model, datamodule=make_data(tree))
    assert model.samples_seen == 24


def test_normalisation_can_be_given():
    model = make_model(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    assert model.extractor.backbone.preprocessing.mean == (0.1, 0.2, 0.3)
    torch.testing.assert_close(model.extractor.backbone.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))
    assert model.hparams["mean"] == [0.1, 0.2, 0.3]


def test_maps_of_an_unfinished_fit_are_pointed_out(tree, tmp_path):
    fitted(tree, tmp_path, Saver(tmp_path))
    for name, done in (("epoch=0", "1 of 2"), ("step=4", "1.33 of 2"), ("epoch=1", None)):
        for stage in ("validate", "test"):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                run = getattr(make_trainer(tmp_path), stage)
                run(make_model(), datamodule=make_data(tree), ckpt_path=tmp_path / f"{name}.ckpt", verbose=False)
            found = [str(warning.message) for warning in caught if "unfinished" in str(warning.message)]
            assert len(found) == (done is not None)
            assert all(f"{done} epochs are done" in text for text in found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": (0, 1)}, r"sigma is \[0, 1\]: both ends must be above 0"),
        ({"sigma": (1, -0.5)}, r"sigma is \[1, -0.5\]"),
        ({"sigma": (math.nan, 1)}, "sigma is"),
        ({"sigma": (math.inf, 1)}, "sigma is"),
        ({"alpha": (0.5, 0)}, r"alpha is \[0.5, 0\]"),
        ({"mean": [0.5, 0.5]}, "mean must be three numbers"),
        ({"std": [0.5, 0.5, 0]}, "std must be three positive numbers"),
        ({"rows": 0}, "rows=0"),
        ({"cols": -1}, "cols=-1"),
        ({"taps": {"CL1": "fist"}}, "'fist' is not a module .* did you mean 'first'"),
        ({"backbone": "resnet19", "weights": "none"}, "'resnet19' is unknown; did you mean .*'resnet18'"),
        ({"topology": "sphere"}, "topology 'sphere' is unknown; choose 'torus' or 'plane'"),
        ({"schedule": "step"}, "schedule kind 'step' is unknown"),
        ({"init": "kmeans"}, "initial method 'kmeans' is unknown; choose one of 'sample', 'random', 'normal', 'pca'"),
        ({"neighbourhood": "mexican_hat"}, "neighbourhood 'mexican_hat' is unknown; choose one of 'gaussian'"),
        ({"distance": "manhattan"}, "distance 'manhattan' is unknown; choose 'euclidean' or 'cosine'"),
        ({"winner": "loudest"}, "winner 'loudest' is unknown; choose one of 'kohonen', 'heskes', 'soft'"),
        ({"rule": "adam"}, "rule 'adam' is unknown; choose one of 'gradient', 'batch', 'ema'"),
        ({"rule": "batch", "winner": "heskes"}, "winner 'heskes' needs rule 'gradient'; got rule 'batch'"),
        ({"rule": "batch", "winner": "soft"}, "winner 'soft' needs rule 'gradient'; got rule 'batch'"),
        ({"rule": "ema", "winner": "heskes"}, "winner 'heskes' needs rule 'gradient'; got rule 'ema'"),
        ({"rule": "ema", "winner": "soft"}, "winner 'soft' needs rule 'gradient'; got rule 'ema'"),
        ({"rule": "ema", "alpha": (1.1, 0.5)}, r"rule 'ema' needs 0 < alpha <= 1, .* got alpha=\(1\.1, 0\.5\)"),
        ({"rule": "ema", "alpha": (0.5, 2)}, "rule 'ema' needs 0 < alpha <= 1"),
        ({"statistics": []}, "statistic"),
        ({"statistics": ["median"]}, "median"),
    ],
)
def test_settings_out_of_range_are_refused_on_construction(monkeypatch, settings, message):
    loaded = []
    load = code_som.load_backbone
    monkeypatch.setattr(code_som, "load_backbone", lambda *given: loaded.append(given) or load(*given))
    with pytest.raises(ValueError, match=message):
        make_model(**settings)
    assert bool(loaded) == bool({"mean", "std", "taps", "backbone"} & settings.keys()), "refused cheaply if it can be"


def test_a_fit_needs_a_data_module_and_epochs(tree, tmp_path):
    data = make_data(tree)
    data.setup("fit")
    with pytest.raises(ValueError, match="pass datamodule=ImageData"):
        make_trainer(tmp_path).fit(make_model(), data.train_dataloader(), data.val_dataloader())
    with pytest.raises(ValueError, match=r"trainer\.max_epochs is -1: the schedules of sigma and alpha need"):
        make_trainer(tmp_path, max_epochs=-1).fit(make_model(), datamodule=make_data(tree))


def test_a_map_that_was_never_fit_is_refused(tree, tmp_path):
    for stage in ("validate", "test"):
        with pytest.raises(ValueError, match="the maps are empty: fit them first, or give the checkpoint of a fit"):
            getattr(make_trainer(tmp_path), stage)(make_model(), datamodule=make_data(tree))


@pytest.mark.parametrize("pool", [4, 7, 512])
def test_statistics_count_every_sample_of_the_first_epoch_once(make_tree, tmp_path, monkeypatch, pool):
    monkeypatch.setattr(map_start, "POOL", pool)  # or as many as there are units, 12
    tree = make_tree({"train": 6, "val": 1})
    model = make_model(rows=1, cols=3)
    recorder = Recorder()
    frozen = []

    class Statistics(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            frozen.append({depth: som.standardiser.mean.clone() for depth, som in pl_module.maps.items()})

    make_trainer(tmp_path, recorder, Statistics()).fit(model, datamodule=make_data(tree))  # 18 images: 4 batches of 4
    first, second = recorder.steps[:4], recorder.steps[4:]
    ids = sorted(number for step in first for number in step["ids"])
    assert len(set(ids)) == 16
    assert ids != sorted(number for step in second for number in step["ids"]), "else the freeze is not seen"
    for depth, som in model.maps.items():
        codes = torch.cat([step["codes"][depth] for step in first]).double().numpy()
        assert int(som.standardiser.count) == 16
        np.testing.assert_allclose(som.standardiser.mean, codes.mean(0), rtol=1e-9)
        spread = codes.std(0)
        np.testing.assert_allclose(som.standardiser.standard_deviation, np.where(spread == 0, 1, spread), rtol=1e-9)
        assert all(torch.equal(later[depth], frozen[3][depth]) for later in frozen[4:])


def test_maps_start_alike_from_codes_and_differ_by_seed(tree, tmp_path):
    starts = []
    for seed in (0, 0, 1):
        recorder = Recorder()
        model = make_model(seed=seed, alpha=(0.1, 0.1))
        make_trainer(tmp_path, recorder, max_epochs=1).fit(model, datamodule=make_data(tree))
        starts.append(recorder.steps[0]["before"]["CL2"])
    assert torch.equal(starts[0], starts[1])
    assert not torch.allclose(starts[0], starts[2])
