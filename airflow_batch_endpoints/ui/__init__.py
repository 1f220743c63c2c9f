"""The pages in Airflow's user interface: constant files, which read the REST interface like any other client."""
