"""Virtual environments for slots, where the worker's own does not hold what a model or deployment asks for."""
