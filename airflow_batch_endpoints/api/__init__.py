"""REST: a FastAPI application that Airflow's API server mounts at ``/batch-endpoints``."""
