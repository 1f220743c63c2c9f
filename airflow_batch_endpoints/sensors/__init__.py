"""Sensors: waiting for jobs that something else has started."""
