from tests.worker.conftest import job, make_job

__all__ = ["job", "make_job"]
