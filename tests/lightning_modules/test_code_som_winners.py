import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback

from tests.tiny import TAPS, make_data, make_model, make_trainer


class Lengths(Callback):
    """The lengths of the prototypes after every step and at every validation."""

    def __init__(self):
        self.found = []

    def _measure(self, trainer, pl_module, *args):
        self.found += [som.prototypes.detach().norm(dim=1) for som in pl_module.maps.values()]

    on_train_batch_end = on_validation_start = on_train_end = _measure


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("rule", ["gradient", "batch", "ema"])
def test_cosine_maps_stay_on_the_sphere_and_report_one_less_the_cosine(tree, tmp_path, rule, standardise):
    lengths = Lengths()
    model = make_model(distance="cosine", rule=rule, standardise=standardise)
    data = make_data(tree, batch_size=4)
    make_trainer(tmp_path, lengths).fit(model, datamodule=data)
    assert len(lengths.found) == (6 + 2 + 1) * len(TAPS)
    assert all(torch.allclose(each, torch.ones(12), rtol=0, atol=1e-6) for each in lengths.found)

    means = {depth: [] for depth in TAPS}
    for batch in data.val_dataloader():
        codes, found = model.extractor(batch["image"]).codes, model(batch["image"])
        for depth, som in model.maps.items():
            x = codes[depth].double()
            if standardise:
                x = (x - som.standardiser.mean) / som.standardiser.standard_deviation
            w = som.prototypes.detach().double()
            for b in range(len(x)):
                cosines = [float(x[b] @ w[k] / (x[b].norm() * w[k].norm())) for k in range(12)]
                assert found[depth].distance[b] == pytest.approx(1 - max(cosines), abs=1e-6)
                assert cosines[int(found[depth].bmu[b])] == pytest.approx(max(cosines), abs=1e-6)
                means[depth].append(1 - max(cosines))
    for depth, values in means.items():
        assert len(values) == 6
        assert model.results["quantisation_error"][depth] == pytest.approx(np.mean(values), abs=1e-6)


@pytest.mark.parametrize(
    "settings", [{"winner": "heskes"}, {"winner": "soft"}, {"winner": "soft", "distance": "cosine"}]
)
def test_energies_of_other_winners_fall(tree, tmp_path, settings):
    """At one width and on the same images, since the energy depends on both."""

    class Energies(Callback):
        def __init__(self):
            self.values = []

        def on_train_batch_end(self, trainer, *args):
            names = [f"fit/energy/{depth}" for depth in TAPS]
            self.values.append([float(trainer.callback_metrics[name]) for name in names])

    energies = Energies()
    model = make_model(sigma=(0.8, 0.8), alpha=(0.3, 0.3), **settings)
    make_trainer(tmp_path, energies, max_epochs=8).fit(model, datamodule=make_data(tree, batch_size=12))
    assert len(energies.values) == 8
    assert np.isfinite(energies.values).all()
    assert (np.diff(energies.values, axis=0) < 0).all()
    assert model.samples_seen == 8 * 12


# ------------------------------------------------------------------------------------------------- checkpoints
