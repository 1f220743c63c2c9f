"""From an input URI to a plan: items, mini-batches and shards."""
