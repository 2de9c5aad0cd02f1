"""Slow references in float64 loops, written from the formulas and sharing no code with the package."""

import math

import torch


def draw(*shape, seed=0, offset=0.0):
    """Normal numbers rounded to 1/64, so that an offset of 1e4 keeps every one of them exact in float32."""
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 64).round() / 64 + offset


def lattice_distance(a, b, rows, cols, topology):
    """The minimum over the nine copies of the map, or over the one."""
    shifts = (-1, 0, 1) if topology == "torus" else (0,)
    return min(
        math.hypot(a // cols - b // cols + i * rows, a % cols - b % cols + j * cols) for i in shifts for j in shifts
    )


def neighbourhood(kind, a, b, rows, cols, topology, sigma):
    """h(a, b): by the nearest image, the sum over images far beyond sight, or both axes within reach."""
    d_row, d_col = a // cols - b // cols, a % cols - b % cols
    if kind == "bubble":
        if topology == "torus":
            d_row, d_col = (min(abs(d), side - abs(d)) for d, side in ((d_row, rows), (d_col, cols)))
        return float(abs(d_row) <= sigma and abs(d_col) <= sigma)
    if kind == "gaussian" or topology == "plane":
        return math.exp(-(lattice_distance(a, b, rows, cols, topology) ** 2) / (2 * sigma**2))

    def images(step, side):
        return sum(math.exp(-((step + i * side) ** 2) / (2 * sigma**2)) for i in range(-200, 201))

    return images(d_row, rows) * images(d_col, cols) / (images(0, rows) * images(0, cols))


def weights(bmu, rows, cols, topology, sigma, kind="gaussian"):
    """(B, K): h(c_b, k)."""
    h = torch.zeros(len(bmu), rows * cols, dtype=torch.float64)
    for b, c in enumerate(bmu):
        for k in range(rows * cols):
            h[b, k] = neighbourhood(kind, int(c), k, rows, cols, topology, sigma)
    return h


def table(rows, cols, topology, sigma, kind="gaussian"):
    """(K, K): the whole neighbourhood."""
    return weights(range(rows * cols), rows, cols, topology, sigma, kind)


def squared_distances(codes, prototypes):
    codes, prototypes = codes.double(), prototypes.double()
    table = torch.zeros(len(codes), len(prototypes), dtype=torch.float64)
    for b, x in enumerate(codes):
        for k, w in enumerate(prototypes):
            table[b, k] = (x - w).square().sum()
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


def unit_energies(codes, prototypes, full):
    """(B, K): sum_k h(c, k) |x_b - w_k|^2 of each unit c."""
    squared, energies = squared_distances(codes, prototypes), torch.zeros(len(codes), len(prototypes)).double()
    for b in range(len(codes)):
        for c in range(len(prototypes)):
            energies[b, c] = sum(full[c, k] * squared[b, k] for k in range(len(prototypes)))
    return energies


def gradient_step(prototypes, codes, h, alpha):
    """W after w_k += alpha / B sum_b h(c_b, k) (x_b - w_k)."""
    moved = prototypes.double().clone()
    for k in range(len(prototypes)):
        moved[k] += alpha / len(codes) * sum(h[b, k] * (codes[b] - prototypes[k]).double() for b in range(len(codes)))
    return moved


def batch_step(prototypes, codes, h):
    """The weighted means; a unit of no weight keeps its prototype."""
    moved = prototypes.double().clone()
    for k in range(len(prototypes)):
        if h[:, k].sum() > 0:
            moved[k] = sum(h[b, k] * codes[b].double() for b in range(len(codes))) / h[:, k].sum()
    return moved


def fit(codes, prototypes, rows, cols, *, rule, sigmas, alphas, batches, topology="torus", kind="wrapped_gaussian"):
    """Prototypes after the batches (lists of row numbers), batch i under sigmas[i] and alphas[i]."""
    moved, numerator, denominator = prototypes.double(), 0.0, 0.0
    for batch, sigma, alpha in zip(batches, sigmas, alphas, strict=True):
        part = codes[torch.tensor(batch)].double()
        h = weights(winners(part, moved)[0], rows, cols, topology, sigma, kind)
        if rule == "gradient":
            moved = gradient_step(moved, part, h, alpha)
        elif rule == "batch":
            moved = batch_step(moved, part, h)
        else:
            numerator = (1 - alpha) * numerator + alpha * h.T @ part / len(part)
            denominator = (1 - alpha) * denominator + alpha * h.sum(0) / len(part)
            moved = torch.where(denominator[:, None] > 0, numerator / denominator[:, None], moved)
    return moved
