from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The machine may be busy with other tests; what is slow is not wrong.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of cases with known outcomes that BATCH_ENDPOINTS_CASES names."""
    folder = os.environ.get("BATCH_ENDPOINTS_CASES")
    if not folder:
        pytest.skip("BATCH_ENDPOINTS_CASES names no folder of cases")
    return Path(folder)
