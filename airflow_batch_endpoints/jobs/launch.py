"""Where and as whom the work of a job is launched: pinned with the job, so that later changes of documents do not reach it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from airflow_batch_endpoints.documents.compute import BUILT_IN, Compute, KubernetesCompute, PodResources


class Launch(BaseModel):
    """What the tasks of a job need to launch its workers. No secret is in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    compute: Annotated[Compute, Field(discriminator="type")] = BUILT_IN
    image: str | None = None
    """Image of the pods; ``None`` on local compute."""
    resources: PodResources = PodResources()
    """Of one instance: the compute's, with what the deployment says put over them."""
    connections: tuple[str, ...] = ()
    """Airflow connections whose credentials local workers get: those of the data stores that the job names."""
    service_account: str | None = None
    """What the pods run as; ``None`` for the namespace's default account, without a token."""
    fallback: Launch | None = None
    """Where an instance goes that finds no place for ``compute.fallback.after_seconds``."""

    @property
    def is_pod(self) -> bool:
        """Whether the workers are pods."""
        return isinstance(self.compute, KubernetesCompute)

    @property
    def kubernetes(self) -> KubernetesCompute:
        """The compute, known to be a cluster."""
        if not isinstance(self.compute, KubernetesCompute):
            raise TypeError(f"compute {self.compute.name!r} is not of type kubernetes")
        return self.compute

    @property
    def gpus(self) -> int:
        """How many accelerators one instance has: the greater of requests and limits of anything called ``<vendor>/gpu``."""
        amounts = [*self.resources.requests.items(), *self.resources.limits.items()]
        return max((int(amount) for name, amount in amounts if name.endswith("/gpu") and amount.isdigit()), default=0)
