"""The main job on real data, from a model to predictions, run by a real Airflow."""
