"""Hooks: endpoints and jobs from the code of a task."""
