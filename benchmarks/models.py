"""The models: trained once on the flights of 2013, kept as MLflow models that every contestant loads."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.places import MODELS

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = [
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "sched_arr_time", "flight", "air_time",
    "distance", "hour", "minute",
]  # fmt: skip
DELAY = "arr_delay"
LATE_MINUTES = 15
FOREST_TREES = 17
"""Trees of unlimited depth that make a forest of about 500 MB."""


def path(name: str) -> Path:
    """Folder of a model."""
    return MODELS / name


def load(name: str) -> Any:
    """Load what is inside an MLflow model, without MLflow: the fastest way to have it."""
    import cloudpickle

    with (path(name) / "model.pkl").open("rb") as file:
        return cloudpickle.load(file)


@cache
def flights() -> pa.Table:
    """Return the 327,346 flights of which everything is known."""
    import pyarrow as pa

    from demo.flights import flights as all_flights

    table = all_flights().dropna(subset=[*FEATURES, DELAY]).astype(dict.fromkeys(FEATURES, "float64"))
    return pa.Table.from_pandas(table[[*FEATURES, DELAY, "tailnum"]], preserve_index=False)


def prepare(name: str) -> None:
    """Train a model and save it, unless it is there."""
    if (path(name) / "MLmodel").exists():
        return
    shutil.rmtree(path(name), ignore_errors=True)
    _save(name, *_TRAINERS[name]())


def _save(name: str, model: Any, example: Any) -> None:
    import mlflow
    import sklearn

    mlflow.sklearn.save_model(
        model,
        path(name),
        signature=mlflow.models.infer_signature(example, model.predict(example)),
        serialization_format="cloudpickle",
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
    )


def _boosting() -> tuple[Any, Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame = flights().to_pandas()
    model = HistGradientBoostingRegressor(max_iter=100, random_state=0).fit(frame[FEATURES], frame[DELAY])
    return model, frame[FEATURES].head()


def _logistic() -> tuple[Any, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = flights().to_pandas()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[FEATURES], frame[DELAY] > LATE_MINUTES)
    return model, frame[FEATURES].head()


def _forest() -> tuple[Any, Any]:
    from sklearn.ensemble import RandomForestRegressor

    frame = flights().to_pandas()
    model = RandomForestRegressor(FOREST_TREES, random_state=0).fit(frame[FEATURES], frame[DELAY])
    return model, frame[FEATURES].head()


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    digits = load_digits()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(digits.data, digits.target), digits.data[:5]


_TRAINERS = {"boosting": _boosting, "logistic": _logistic, "forest": _forest, "digits": _digits}
