"""Operators: running a job's commands, invoking an endpoint, applying a deployment."""
