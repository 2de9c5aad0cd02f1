"""One step and one epoch beside other packages, from equal prototypes and order; `make test-peers` installs them."""

import warnings

import pytest
import torch

from som import SOM
from som.presets import kohonen, quicksom
from tests.som import reference

SIDE, DIMENSIONS = 6, 7
CODES = reference.draw(40, DIMENSIONS, seed=2)
START = reference.draw(SIDE * SIDE, DIMENSIONS, seed=1)


def fitted(som, codes=CODES):
    return som.set_params(init=START, shuffle=False).partial_fit(codes).map_.prototypes.detach()


@pytest.mark.parametrize("samples", [20, 40])
def test_quicksom_takes_the_same_steps(samples):
    peer = pytest.importorskip("quicksom.som").SOM(
        SIDE, SIDE, DIMENSIONS, alpha=0.5, sigma=3.0, n_epoch=2, periodic=True, centroids=START.clone()
    )
    for first in range(0, samples, 20):
        peer(CODES[first : first + 20].clone(), learning_rate_op=1 - first / (2 * samples))
    ours = quicksom(SIDE, SIDE, samples, alpha=0.5, sigma=3.0, batch_size=20, epochs=2)
    torch.testing.assert_close(fitted(ours, CODES[:samples]), peer.centroids, rtol=0, atol=1e-5)


def test_torchsom_takes_the_same_step():
    torchsom = pytest.importorskip("torchsom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = torchsom.SOM(SIDE, SIDE, DIMENSIONS, sigma=1.7, learning_rate=0.4, pbc=True, device="cpu")
    peer.weights.data = START.view(SIDE, SIDE, DIMENSIONS).clone()
    peer._update_weights(CODES, peer.identify_bmus(CODES), 0.4, 1.7)
    ours = SOM(SIDE, SIDE, neighbourhood="gaussian", rule="gradient", sigma=(1.7, 1.7), alpha=(0.4, 0.4), batch_size=40)
    torch.testing.assert_close(fitted(ours), peer.weights.detach().flatten(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cols", [SIDE, 4])
def test_fastersom_ends_a_batch_epoch_alike(cols):
    fastersom = pytest.importorskip("fastersom")
    start = START[: SIDE * cols]
    peer = fastersom.SOM(SIDE, cols, n_epochs=3, sigma_initial=3.0, sigma_final=0.5, init=start, device="cpu").fit(
        CODES
    )
    ours = SOM(SIDE, cols, topology="plane", sigma=(3.0, 0.5), epochs=3, init=start).fit(CODES)
    torch.testing.assert_close(ours.map_.prototypes.detach(), torch.as_tensor(peer.weights_), rtol=0, atol=1e-5)
    assert (ours.labels_ == peer.labels_).all()


def test_xpysom_ends_a_batch_epoch_alike():
    xpysom = pytest.importorskip("xpysom")
    import numpy as np

    peer = xpysom.XPySom(SIDE, SIDE, DIMENSIONS, sigma=2.0, sigmaN=1.0, std_coeff=1, xp=np)
    peer._weights = START.view(SIDE, SIDE, DIMENSIONS).numpy().copy()
    peer.train(CODES.numpy(), 1)
    ours = SOM(SIDE, SIDE, topology="plane", sigma=(2.0, 2.0), epochs=1)
    torch.testing.assert_close(
        fitted(ours), torch.as_tensor(peer.get_weights()).flatten(0, 1).float(), rtol=0, atol=1e-5
    )


def test_minisom_takes_the_same_steps():
    minisom = pytest.importorskip("minisom")
    peer = minisom.MiniSom(SIDE, SIDE, DIMENSIONS, sigma=2.0, learning_rate=0.5)
    peer._weights = START.view(SIDE, SIDE, DIMENSIONS).double().numpy().copy()
    peer.train(CODES.double().numpy(), len(CODES))
    ours = fitted(kohonen(SIDE, SIDE, alpha=0.5, sigma=2.0))
    torch.testing.assert_close(ours, torch.as_tensor(peer.get_weights()).flatten(0, 1).float(), rtol=0, atol=1e-5)
