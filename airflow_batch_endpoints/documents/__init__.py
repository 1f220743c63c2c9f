"""The YAML people write, as pydantic models: endpoint, deployment, compute, job request."""
