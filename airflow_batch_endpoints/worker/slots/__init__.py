"""Slots: the processes that load the model and score, kept apart from the coordinator that must not die."""
