from airflow_batch_endpoints.planning.items import Item, MiniBatch, Shard  # noqa
