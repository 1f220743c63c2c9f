"""The program on the compute: ``plan``, ``score`` and ``publish``. It knows nothing of Airflow."""
