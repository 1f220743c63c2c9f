"""Jobs as runs of endpoint DAGs, for processes that may use the metadata database: the CLI and the API server."""
