"""The settings under which this map takes the steps of other packages, from equal prototypes and order."""

from typing import Any

from som.estimator import SOM


def quicksom(
    rows: int,
    cols: int,
    samples: int,
    *,
    batch_size: int = 20,
    epochs: int = 2,
    alpha: float | None = None,
    sigma: float | None = None,
    **settings: Any,
) -> SOM:
    """The map of quicksom 1.0 with ``periodic=True``: W += alpha f mean_b h (x_b - w_k), f falling from 1 to 0.

    quicksom divides by 2 sigma^2 + 1e-5, of which this map has no need, since its own Gaussian is 1 at the BMU for any
    sigma above 0; the two differ by less than 1e-5 while sigma f is above 1. Not copied: its table of distances is
    wrong where rows and cols differ, and its second fit has a negative rate.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        samples: number of codes N that will be fitted; quicksom's alpha depends on it.
        batch_size: codes an update.
        epochs: passes over the codes.
        alpha: first learning rate; None for the number of units by the number of batches, quicksom's own, which
            diverges where units are many and batches few.
        sigma: first width; None for half the square root of the number of units, quicksom's own.
        settings: further parameters of :class:`SOM`.

    Returns:
        An estimator that is not fitted yet.

    Example:
        >>> quicksom(4, 4, samples=100).alpha
        (3.2, 0.0)
    """
    alpha = rows * cols / -(-samples // batch_size) if alpha is None else alpha
    sigma = (rows * cols) ** 0.5 / 2 if sigma is None else sigma
    preset: dict[str, Any] = {"topology": "torus", "neighbourhood": "gaussian", "rule": "gradient", "init": "normal"}
    preset |= {"schedule": "linear", "sigma": (sigma, 0.0), "alpha": (alpha, 0.0)}
    return SOM(rows, cols, batch_size=batch_size, epochs=epochs, **(preset | settings))


def kohonen(rows: int, cols: int, *, alpha: float = 0.5, sigma: float = 1.0, epochs: int = 1, **settings: Any) -> SOM:
    """Kohonen's online map as MiniSom 2.3 trains it: one code an update, in the order given, w_k += alpha h (x - w_k).

    Both rates fall as 1 / (1 + 2 t / T), MiniSom's asymptotic decay; its ``train(codes, epochs * len(codes))``.

    Args:
        rows: rows of the lattice, a plane.
        cols: columns of the lattice.
        alpha: first learning rate.
        sigma: first width.
        epochs: passes over the codes.
        settings: further parameters of :class:`SOM`.

    Returns:
        An estimator that is not fitted yet.

    Example:
        >>> kohonen(3, 5).batch_size
        1
    """
    preset: dict[str, Any] = {"topology": "plane", "neighbourhood": "gaussian", "rule": "gradient", "init": "sample"}
    preset |= {"schedule": "inverse", "sigma": (sigma, sigma / 3), "alpha": (alpha, alpha / 3)}
    return SOM(rows, cols, batch_size=1, shuffle=False, epochs=epochs, **(preset | settings))
