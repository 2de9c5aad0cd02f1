import math

import pytest
import torch

from som.presets import kohonen, quicksom
from tests.som import reference
from tests.som.test_batch_fit import blobs

EPOCHS, BATCH = 2, 20


def quicksom_loops(codes, prototypes, rows, cols, alpha, sigma):
    """quicksom 1.0, periodic: its step, its table of squared distances (right where rows = cols), its linear decay."""
    moved, samples = prototypes.double(), len(codes)
    for step in range(EPOCHS * math.ceil(samples / BATCH)):
        first = step % math.ceil(samples / BATCH) * BATCH
        seen = step // math.ceil(samples / BATCH) * samples + first
        factor = 1 - seen / (samples * EPOCHS)
        part = codes[first : first + BATCH].double()
        bmu, total = reference.winners(part, moved)[0], torch.zeros_like(moved)
        for x, c in zip(part, bmu.tolist(), strict=True):
            for k in range(rows * cols):
                squared = reference.lattice_distance(c, k, rows, cols, "torus") ** 2
                h = math.exp(-squared / (2 * (sigma * factor) ** 2 + 1e-5))
                total[k] += alpha * factor * h * (x - moved[k]) / len(part)
        moved = moved + total
    return moved


@pytest.mark.parametrize("rows", [4, 5])
def test_quicksom_step_by_step(rows):
    codes, start = blobs(50, 3) / 8, reference.draw(rows * rows, 3)
    som = quicksom(rows, rows, 50, batch_size=BATCH, init=start, shuffle=False, alpha=0.8, random_state=0)
    expected = quicksom_loops(codes, start, rows, rows, 0.8, math.sqrt(rows * rows) / 2)
    found = torch.tensor(som.fit(codes).prototypes_).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5)
    assert not torch.allclose(found, start.double(), atol=0.1)


def test_quicksoms_own_settings():
    som = quicksom(4, 5, 1000)
    assert (som.batch_size, som.epochs, som.alpha) == (20, 2, (20 / 50, 0.0))
    assert som.sigma == (math.sqrt(20) / 2, 0.0)
    assert (som.topology, som.init, som.rule, som.schedule) == ("torus", "normal", "gradient", "linear")
    assert quicksom(4, 5, 1001).alpha == (20 / 51, 0.0)
    assert quicksom(4, 5, 1000, sigma=3.0, epochs=7).sigma == (3.0, 0.0)
    fitted = quicksom(4, 4, 60, alpha=0.5, random_state=0).fit(blobs(60))
    assert torch.isfinite(torch.tensor(fitted.prototypes_)).all()


def kohonen_loops(codes, prototypes, rows, cols, alpha, sigma, epochs):
    """MiniSom 2.3: one code a step, in order; both rates divided by 1 + t / (T / 2)."""
    moved, steps = prototypes.double(), epochs * len(codes)
    for step in range(steps):
        x = codes[step % len(codes)].double()
        decay = 1 + step / (steps / 2)
        c = int(reference.winners(x[None], moved)[0])
        for k in range(rows * cols):
            squared = reference.lattice_distance(c, k, rows, cols, "plane") ** 2
            h = math.exp(-squared / (2 * (sigma / decay) ** 2))
            moved[k] += alpha / decay * h * (x - moved[k])
    return moved


@pytest.mark.parametrize("epochs", [1, 2])
def test_kohonen_step_by_step(epochs):
    codes, start = blobs(24, 3) / 8, reference.draw(15, 3)
    expected = kohonen_loops(codes, start.clone(), 3, 5, 0.5, 1.2, epochs)
    som = kohonen(3, 5, alpha=0.5, sigma=1.2, epochs=epochs, init=start).fit(codes)
    torch.testing.assert_close(torch.tensor(som.prototypes_).double(), expected, rtol=0, atol=1e-5)


def test_settings_of_ones_own_come_last():
    assert kohonen(3, 5, topology="torus", init="pca").topology == "torus"
    assert quicksom(4, 4, 60, neighbourhood="bubble").neighbourhood == "bubble"
