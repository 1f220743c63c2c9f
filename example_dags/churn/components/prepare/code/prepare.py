"""Scale the numbers of customers: with a transformer that is given, or with one fitted to them."""

import argparse
from pathlib import Path

import joblib
import pandas as pd
from sklearn.preprocessing import StandardScaler

COLUMNS = ["months", "calls"]

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--transformations", type=Path)
parser.add_argument("--prepared", type=Path, required=True)
parser.add_argument("--fitted", type=Path, required=True)
args = parser.parse_args()

files = sorted(args.data.glob("*.csv"))
table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
if args.transformations is None:
    scaler = StandardScaler().fit(table[COLUMNS])
else:
    scaler = joblib.load(args.transformations / "scaler.joblib")
table[COLUMNS] = scaler.transform(table[COLUMNS])

for folder in (args.prepared, args.fitted):
    folder.mkdir(parents=True, exist_ok=True)
table.to_csv(args.prepared / "customers.csv", index=False)
joblib.dump(scaler, args.fitted / "scaler.joblib")
