"""A scoring script as Azure ML has them: ``init()`` once per process, ``run()`` once per mini-batch."""

import os
from pathlib import Path

import mlflow
import pandas as pd

LATE_MINUTES = 15


def init():
    global model
    (folder,) = Path(os.environ["AZUREML_MODEL_DIR"]).iterdir()
    model = mlflow.pyfunc.load_model(str(folder))


def run(mini_batch):
    results = []
    for path in mini_batch:
        flights = pd.read_parquet(path)
        delay = model.predict(flights)
        results.append(
            pd.DataFrame(
                {
                    "file": os.path.basename(path),
                    "carrier": flights.carrier,
                    "flight": flights.flight,
                    "predicted_delay": delay,
                    "is_late": delay > LATE_MINUTES,
                }
            )
        )
    return pd.concat(results, ignore_index=True)
