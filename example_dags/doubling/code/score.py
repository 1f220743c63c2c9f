"""Doubles the numbers in the column ``x``."""

import pandas as pd


def init():
    """Nothing to load."""


def run(mini_batch):
    """Return one row per row of the input."""
    return pd.concat([pd.read_csv(path).eval("doubled = x * 2") for path in mini_batch])
