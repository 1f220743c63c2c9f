"""Triggers: waiting for jobs without a worker slot."""
