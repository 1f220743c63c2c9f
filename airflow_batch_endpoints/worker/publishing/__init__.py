"""From committed shards to what readers see: one file in the plan's order, the dead letters, the manifest."""
