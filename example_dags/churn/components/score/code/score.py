"""Score prepared customers: append the prediction to their columns, or write it alone."""

import argparse
from pathlib import Path

import mlflow.pyfunc
import pandas as pd

COLUMNS = ["months", "calls"]

parser = argparse.ArgumentParser()
parser.add_argument("--prepared", type=Path, required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--score-mode", choices=["append", "prediction"], required=True)
parser.add_argument("--scores", type=Path, required=True)
args = parser.parse_args()

table = pd.read_csv(args.prepared / "customers.csv")
predictions = mlflow.pyfunc.load_model(args.model).predict(table[COLUMNS])
scored = (
    table.assign(prediction=predictions) if args.score_mode == "append" else pd.DataFrame({"prediction": predictions})
)
args.scores.mkdir(parents=True, exist_ok=True)
scored.to_csv(args.scores / "predictions.csv", index=False)
