import math

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from lightning_modules.relative_energy import relative_energy
from measures import explained_variance
from som import SelfOrganizingMap
from tests.tiny import TAPS, make_data, make_model, make_trainer


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 3 + 5


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("sigma", [0.4, 2.0])
def test_a_map_of_mean_codes_has_1(topology, sigma):
    codes = normal(60, 5)
    som = SelfOrganizingMap(3, 4, 5, topology=topology, standardise=True)
    som.standardiser.update(codes)
    mean = som.encode(codes).mean(0)
    som.initialise(codes, (mean + 1e-4 * normal(12, 5)).sub(0.01))
    energy, winners = som.energy(codes, sigma)
    found = relative_energy(som, codes, winners.bmu, energy, sigma).item()
    # The mean is of the batch itself, so that one of 60 degrees of freedom is lost.
    assert found == pytest.approx(59 / 60, rel=0.05 if topology == "plane" else 0.01)  # a plane's edges pull less


def test_it_is_the_unexplained_share_once_the_neighbourhood_has_shrunk():
    codes = normal(60, 5)
    som = SelfOrganizingMap(3, 4, 5)
    som.initialise(codes, codes[:12])
    energy, winners = som.energy(codes, 0.05)
    found = relative_energy(som, codes, winners.bmu, energy, 0.05).item()
    unexplained = 1 - explained_variance(winners.distance, codes).item()
    assert found == pytest.approx(unexplained * 59 / 60, rel=1e-4)


def test_neither_scale_nor_dimension_matter():
    codes, found = normal(60, 5), []
    for each in (codes, 7 * codes, torch.cat((codes, codes), 1)):
        som = SelfOrganizingMap(3, 4, each.shape[1])
        som.initialise(each, each[:12])
        energy, winners = som.energy(each, 0.8)
        found.append(relative_energy(som, each, winners.bmu, energy, 0.8).item())
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)


def test_bad_input():
    som = SelfOrganizingMap(3, 4, 5)
    som.initialise(normal(12, 5))
    for codes, expected in ((normal(1, 5), math.isnan), (normal(1, 5).expand(4, 5) + 1, math.isinf)):
        energy, winners = som.energy(codes, 1.0)
        assert expected(relative_energy(som, codes, winners.bmu, energy, 1.0).item())


def test_a_fit_logs_it_for_every_depth(make_tree, tmp_path):
    class Curves(Callback):
        def __init__(self):
            self.found = []

        def on_train_batch_end(self, trainer, pl_module, *args):
            self.found.append([float(trainer.callback_metrics[f"fit/relative_energy/{depth}"]) for depth in TAPS])

    model = make_model(alpha=(0.9, 0.9))
    recorded = Curves()
    make_trainer(tmp_path, recorded, max_epochs=6).fit(model, datamodule=make_data(make_tree({"train": 4, "val": 1})))
    curves = torch.tensor(recorded.found)
    assert curves.shape == (18, 2)
    assert ((curves > 0) & (curves < 2.5)).all()
    assert (curves[-3:].mean(0) < curves[:3].mean(0)).all()
