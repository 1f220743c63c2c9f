"""Applying documents from a DAG, for pipelines that train a model and put it behind an endpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints import assets
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.hooks.batch_endpoint import BatchEndpointHook

POLL_SECONDS = 1.0

if TYPE_CHECKING:
    from airflow.sdk import Context


class BatchDeploymentOperator(BaseOperator):
    """Creates or updates endpoints, deployments, computes, data stores and assets that belong together.

    A new version of a data asset is an event of its Airflow asset: see :func:`airflow_batch_endpoints.assets.data_asset`.

    :param documents: paths of YAML files, or the documents themselves as mappings (templated).
    :param set_default: make the (one) deployment among them the default of its endpoint.
    :param wait_until_invokable: wait until the DAG processor has made the DAG of a new endpoint, at most this many seconds;
        0 not to wait.
    :return: for each document what was done to it: ``created``, ``updated`` or ``unchanged``.
    """

    template_fields: Sequence[str] = ("documents",)
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        documents: Sequence[str | dict[str, Any]],
        set_default: bool = False,
        wait_until_invokable: float = 300.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "outlets": [*(kwargs.get("outlets") or ()), assets.alias()]})
        self.documents = documents
        self.set_default = set_default
        self.wait_until_invokable = wait_until_invokable

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Apply the documents."""
        hook = BatchEndpointHook()
        try:
            done = hook.apply(*self.documents, set_default=self.set_default)
        except UserError as error:
            raise AirflowFailException(str(error)) from None
        for applied in done:
            self.log.info("%s %s: %s", applied["kind"], applied["name"], applied["result"])
        assets.announce_data(context, hook.new_data(done))
        for endpoint in sorted({applied["endpoint"] for applied in done if applied["endpoint"]}):
            self._wait(hook, endpoint)
        return done

    def _wait(self, hook: BatchEndpointHook, endpoint: str) -> None:
        deadline = time.monotonic() + self.wait_until_invokable
        while not hook.is_invokable(endpoint):
            if time.monotonic() >= deadline:
                self.log.warning("endpoint %s cannot be invoked yet: the DAG processor has not made its DAG", endpoint)
                return
            time.sleep(POLL_SECONDS)
