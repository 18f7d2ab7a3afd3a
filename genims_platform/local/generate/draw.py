"""Random draws that several domains share: weighted codes, keys of other tables, skewed amounts."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers


def codes(rng: np.random.Generator, weights: Mapping[str, float], count: int) -> pl.Series:
    """`count` codes drawn by weight; the weights need not add up to 1."""
    share = np.array(list(weights.values()), dtype=float)
    drawn = rng.choice(len(share), size=count, p=share / share.sum())
    return pl.Series(list(weights)).gather(drawn)


def picks(rng: np.random.Generator, values: pl.Series | Sequence[object], count: int) -> pl.Series:
    """`count` of the values, each as likely as the other."""
    series = values if isinstance(values, pl.Series) else pl.Series(list(values))
    return series.gather(rng.integers(0, len(series), count))


def keys(rng: np.random.Generator, plan: Plan, reference: str, count: int) -> pl.Series:
    """`count` primary keys of another table, each as likely as the other."""
    return picks(rng, identifiers(reference, plan.rows(reference)), count)


def skewed(rng: np.random.Generator, median: float | np.ndarray, spread: float, count: int) -> np.ndarray:
    """Log-normal amounts around a median: many small, few large."""
    return median * np.exp(rng.normal(0, spread, count))


def true_share(rng: np.random.Generator, share: float, count: int) -> np.ndarray:
    """Booleans of which this share is true."""
    return rng.random(count) < share


def uneven(rng: np.random.Generator, count: int, concentration: float = 1.5) -> np.ndarray:
    """Shares of `count` partners that add up to 1, some much larger than others."""
    return rng.dirichlet(np.full(count, concentration))
