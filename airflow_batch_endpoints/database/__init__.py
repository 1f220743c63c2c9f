"""The tables of this package in Airflow's metadata database: jobs, revisions of documents. ``airflow db migrate`` makes them."""
