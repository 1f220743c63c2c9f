"""Batch endpoints for Apache Airflow: apply a model, invoke a name, get predictions in storage."""

__version__ = "0.1.0"
