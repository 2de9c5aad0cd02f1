"""Slow references in float64 loops, written from the formulas and sharing no code with the package."""

import math

import torch


def lattice_distance(a, b, rows, cols, topology):
    """The minimum over the nine copies of the map, or over the one."""
    shifts = (-1, 0, 1) if topology == "torus" else (0,)
    return min(
        math.hypot(a // cols - b // cols + i * rows, a % cols - b % cols + j * cols) for i in shifts for j in shifts
    )


def weights(bmu, rows, cols, topology, sigma):
    units = rows * cols
    h = torch.zeros(len(bmu), units, dtype=torch.float64)
    for b, c in enumerate(bmu):
        for k in range(units):
            h[b, k] = math.exp(-(lattice_distance(int(c), k, rows, cols, topology) ** 2) / (2 * sigma**2))
    return h


def squared_distances(codes, prototypes):
    codes, prototypes = codes.double(), prototypes.double()
    table = torch.zeros(len(codes), len(prototypes), dtype=torch.float64)
    for b, x in enumerate(codes):
        for k, w in enumerate(prototypes):
            table[b, k] = sum((float(p) - float(q)) ** 2 for p, q in zip(x, w, strict=True))
    return table


def winners(codes, prototypes):
    table = squared_distances(codes, prototypes)
    order = [sorted(range(len(prototypes)), key=lambda k: (float(row[k]), k))[:2] for row in table]
    bmu = torch.tensor([o[0] for o in order])
    second = torch.tensor([o[-1] for o in order])
    return bmu, second, table.gather(1, bmu[:, None]).sqrt()[:, 0], table.gather(1, second[:, None]).sqrt()[:, 0]


def energy(codes, prototypes, h):
    return float((h.double() * squared_distances(codes, prototypes)).sum() / (2 * len(codes)))


def energy_gradients(codes, prototypes, h):
    codes, prototypes, h = codes.double(), prototypes.double(), h.double()
    for_codes, for_prototypes = torch.zeros_like(codes), torch.zeros_like(prototypes)
    for b in range(len(codes)):
        for k in range(len(prototypes)):
            pull = h[b, k] * (codes[b] - prototypes[k]) / len(codes)
            for_prototypes[k] -= pull
            for_codes[b] += pull
    return for_codes, for_prototypes
