"""The documents that are applied, kept in Airflow Variables: every Airflow process can read them, and tasks need no database."""
