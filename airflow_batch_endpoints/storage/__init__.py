"""Files wherever they are: URIs and their limits, and the store a job directory lives in."""
