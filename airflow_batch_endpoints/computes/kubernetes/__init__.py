"""Kubernetes: the pod that a worker command runs in, what may not be in it, and what its status means."""
