"""How Azure's resource manager names things: one long path for each, and what our names are in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from airflow_batch_endpoints.documents.validation import shown

PROVIDER = "Microsoft.MachineLearningServices"
WORKSPACE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces/{{workspace}}"
"""Path of a workspace. Ours are all the same, whatever they are called: the endpoints of this Airflow."""
SEPARATOR = "_"
"""Between an endpoint and a job in the job's id. No endpoint's name has one, and Azure ML allows it in names of jobs."""
_IN_WORKSPACE = re.compile(
    rf"/?subscriptions/[^/]+/resourceGroups/[^/]+/providers/{re.escape(PROVIDER)}/workspaces/[^/]+/"
    r"(?P<kind>[^/]+)/(?P<name>[^/]+)(/(?P<by>versions|labels)/(?P<version>[^/]+))?\Z",
    re.IGNORECASE,
)
_IN_REGISTRY = re.compile(
    r"azureml://registries/[^/]+/(?P<kind>[^/]+)/(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)\Z",
    re.IGNORECASE,
)


class Asset(NamedTuple):
    """What an id of a model, of code, of an environment or of a compute says."""

    name: str
    version: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Workspace:
    """The workspace that a request names, in whose words it is answered."""

    subscription: str
    group: str
    name: str

    @property
    def id(self) -> str:
        """Its path."""
        return WORKSPACE.format(subscription=self.subscription, group=self.group, workspace=self.name)

    def endpoint(self, name: str) -> str:
        """Return the id of an endpoint."""
        return f"{self.id}/batchEndpoints/{name}"

    def deployment(self, endpoint: str, name: str) -> str:
        """Return the id of a deployment."""
        return f"{self.endpoint(endpoint)}/deployments/{name}"

    def job(self, endpoint: str, name: str) -> str:
        """Return the id of a job."""
        return f"{self.id}/jobs/{job_id(endpoint, name)}"

    def compute(self, name: str) -> str:
        """Return the id of a compute."""
        return f"{self.id}/computes/{name}"

    def asset(self, kind: str, asset: Asset) -> str:
        """Return the id of a model, of code or of an environment. A name that is a URI is percent-encoded."""
        by = f"labels/{asset.label}" if asset.label else f"versions/{asset.version or 1}"
        return f"{self.id}/{kind}/{quote(asset.name, safe='')}/{by}"


def job_id(endpoint: str, job: str) -> str:
    """Return the name of a job among all of a workspace, where Azure ML has one; our names are an endpoint's own."""
    return f"{endpoint}{SEPARATOR}{job}"


def read_asset(value: Any, kind: str) -> Asset:
    """Read the id of a model, of code, of an environment or of a compute.

    :param kind: ``models``, ``codes``, ``environments`` or ``computes``.
    :raises ValueError: when it is the id of something else, or none.
    """
    match = (_IN_WORKSPACE.match(value) or _IN_REGISTRY.match(value)) if isinstance(value, str) else None
    if match is None or match["kind"].lower() != kind:
        raise ValueError(f"found {shown(value)}, expected an id that ends in {kind}/<name>/versions/<version>")
    is_label = (match["by"] or "").lower() == "labels"
    return Asset(
        name=unquote(match["name"]),
        version=None if is_label else match["version"],
        label=match["version"] if is_label else None,
    )
