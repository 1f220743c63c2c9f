"""``airflow batch-endpoints``: endpoints, deployments, computes and jobs from a terminal."""
