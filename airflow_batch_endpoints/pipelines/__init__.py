"""Pipelines as graphs: nested components flattened to steps, checked, and bound to what an invocation gives. Pure."""
