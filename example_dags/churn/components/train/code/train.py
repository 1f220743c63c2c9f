"""Train a classifier on prepared customers."""

import argparse
import json
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from sklearn.linear_model import LogisticRegression

COLUMNS = ["months", "calls"]

parser = argparse.ArgumentParser()
parser.add_argument("--prepared", type=Path, required=True)
parser.add_argument("--strength", type=float, required=True)
parser.add_argument("--model", type=Path, required=True)
parser.add_argument("--scores", type=Path, required=True)
args = parser.parse_args()

table = pd.read_csv(args.prepared / "customers.csv")
model = LogisticRegression(C=args.strength).fit(table[COLUMNS], table["left"])
accuracy = float(model.score(table[COLUMNS], table["left"]))
mlflow.sklearn.save_model(
    model, args.model, input_example=table[COLUMNS].head(2), pip_requirements=["scikit-learn"],
    serialization_format="cloudpickle",
)  # fmt: skip
args.scores.mkdir(parents=True, exist_ok=True)
(args.scores / "scores.json").write_text(json.dumps({"accuracy": accuracy, "customers": len(table)}))
