"""Which digit is on an image, by Azure ML's contract of scoring scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

SIDE = 8
"""Pixels to which images are scaled down, as in the data set the model was trained on."""
_model: Any = None


def pixels(paths: Sequence[str | Path]) -> np.ndarray[Any, Any]:
    """Return a row per image."""
    rows = np.empty((len(paths), SIDE * SIDE))
    for row, path in zip(rows, paths, strict=True):
        with Image.open(path) as image:
            row[:] = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1) / 16
    return rows


def init() -> None:
    """Load the model."""
    global _model
    import cloudpickle

    (folder,) = Path(os.environ["AZUREML_MODEL_DIR"]).iterdir()
    with (folder / "model.pkl").open("rb") as file:
        _model = cloudpickle.load(file)


def run(mini_batch: list[str]) -> pd.DataFrame:
    """Predict the digits of a mini-batch."""
    names = [os.path.basename(path) for path in mini_batch]
    return pd.DataFrame({"file_name": names, "prediction": _model.predict(pixels(mini_batch))})
