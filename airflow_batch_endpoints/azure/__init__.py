"""The routes and forms that Azure ML's own Python SDK speaks, over the same services as REST: a subset, off by default."""
