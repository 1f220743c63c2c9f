"""Deployments: how an endpoint does its work. Field names, ranges and defaults are Azure ML's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class RetrySettings(BaseModel):
    """How often and how long a mini-batch is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    timeout: Annotated[int, Field(gt=0, le=259_200)] = 30
    """Seconds for one ``run()`` or ``predict()`` call."""


class DeploymentSettings(BaseModel):
    """How a deployment cuts, scores and writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_concurrency_per_instance: Annotated[int, Field(ge=1, le=1024)] = 1
    mini_batch_size: int | str = 10
    error_threshold: int | str = -1
    retry_settings: RetrySettings = RetrySettings()
    output_action: Literal["append_row", "summary_only"] = "append_row"
    output_file_name: str = "predictions.csv"
    logging_level: Literal["warning", "info", "debug"] = "info"
    environment_variables: dict[str, str] = {}
    output_format: Literal["standard", "azureml"] = "standard"
    """Ours. ``azureml`` writes exactly what Azure writes: headerless, spaces for scripts."""
    output_exists: Literal["fail", "replace"] = "fail"
    """Ours. What to do when another job's output is already there."""
    keep_working_state: bool = False
    """Ours. Keep plan, commits and parts after publication."""
    distribution: Literal["dynamic", "static"] = "dynamic"
    """Ours. ``static`` assigns shards by instance number, for stores without exclusive create."""
    slot_start_method: Literal["fork", "spawn"] = "fork"
    """Ours. ``fork`` loads the model once per instance; ``spawn`` is for what cannot be forked."""
