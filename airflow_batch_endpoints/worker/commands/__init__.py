"""The three commands of the worker, in the order of a job's life: ``plan``, ``score``, ``publish``."""
