from __future__ import annotations

import json

from airflow_batch_endpoints.worker import results


def test_a_result_fits_into_a_termination_message() -> None:
    uris = {f"output_{number}": f"s3://bucket/{number}/" + "x" * 200 for number in range(100)}
    result = {"state": "Completed", "outputs": uris, "files": ["y" * 100] * 100, "seconds": 1.5}
    content = results.encode(result)
    assert len(content) <= results.MAX_BYTES
    told = json.loads(content)
    assert (told["state"], told["seconds"]) == ("Completed", 1.5)
    assert told["outputs"].items() <= uris.items()
    assert told["outputs"]
