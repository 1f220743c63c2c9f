from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.worker.conftest import Job, save

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An MLflow with the flights model, and the flights as daily files; this process uses that MLflow meanwhile."""
    import mlflow

    from demo import flights

    root = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{root}/mlflow.db"
    model = flights.train_and_log(uri, root / "models")
    flights.write_daily_files(root / "flights")
    yield root, uri, model
    mlflow.set_tracking_uri(None)


def test_what_lets_one_read_an_input_over_http_is_published_and_logged_nowhere(
    make_job: Callable[..., Job], doubling: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("x,name\n1,a\n")
    files = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever).start()
        uri = f"http://127.0.0.1:{server.server_port}/x.csv"
        job = make_job(
            model_uri=doubling.as_uri(), input_uri=f"{uri}?sig=s3cret", allowed_input_uris=[uri.rpartition("/")[0]]
        )
        try:
            for command in (("plan",), ("score", "--instance", "0"), ("publish",)):
                job.do(*command)
                assert "s3cret" not in job.log
        finally:
            server.shutdown()
    assert job.predictions() == b'file_name,row,prediction\n"x.csv",0,3\n'
    assert job.manifest()["input_uri"] == uri
    assert not [path for path in job.output.iterdir() if path.is_file() and b"s3cret" in path.read_bytes()]


def test_flights_equal_the_plain_library(make_job: Callable[..., Job], registry: Any) -> None:
    import mlflow

    from demo import flights

    root, uri, model = registry
    job = make_job(input_uri=(root / "flights").as_uri(), model_uri="models:/flights@latest")
    job.environment["MLFLOW_TRACKING_URI"] = uri
    settings = {"mini_batch_size": 10, "max_concurrency_per_instance": 2, "error_threshold": 0}
    result = job.run(**settings, retry_settings={"timeout": 120})
    assert (result["listed"], result["failed"], result["rows"]) == (365, 0, 336_776)
    assert job.manifest()["model_uri"] == model

    table = flights.flights()
    table = table.sort_values(["month", "day"], kind="stable")
    expected = mlflow.pyfunc.load_model(model).predict(table)
    published = pa.csv.read_csv(job.output / "predictions.csv")
    np.testing.assert_array_equal(published["prediction"].to_numpy(), expected)
    names = [
        f"flights-2013-{month:02.0f}-{day:02.0f}.parquet" for month, day in zip(table.month, table.day, strict=True)
    ]
    assert published["file_name"].to_pylist() == names
    assert published["row"].to_pylist()[:3] == [0, 1, 2]


def test_an_unknown_model_is_one_sentence(make_job: Callable[..., Job], registry: Any) -> None:
    _, uri, _ = registry
    for reference in (
        "models:/flights/99",
        "models:/ghost@latest",
        "models:/flights@champion",
        "runs:/0123456789abcdef/model",
    ):
        job = make_job(reference.replace("/", "-"), model_uri=reference).files({"a.csv": "x\n1\n"})
        job.environment["MLFLOW_TRACKING_URI"] = uri
        error = job.do("plan", code=2)["error"]
        assert error["type"] == "ModelError"
        assert reference in error["message"]


def test_files_are_read_by_the_signature(make_job: Callable[..., Job], doubling: Path) -> None:
    job = make_job(model_uri=doubling.as_uri())
    job.files(
        {
            "a.csv": "name,x,other\nab,1,z\nc,2.5,z\n",
            "b.csv": '\ufeffx,name\r\n3,"d,\r\ne"\r\n',
            "c.jsonl": '{"x": 4, "name": "f"}\n{"x": 5, "name": "gh"}\n',
            "e.csv": "x,name\n",
            "f.csv": "",
            "g.csv": "x\n1\n",
            "h.csv": "x,name\nnot a number,a\n",
            "i.txt": "x",
            "j/a.csv": "x,name\n-1,neg\n",
            "k/a.csv": "x,name\n7,k\n",
        }
    )
    pd.DataFrame({"other": [1], "x": [6], "name": ["i"]}).to_parquet(job.folder / "in" / "d.parquet")
    pd.DataFrame({"x": [6.5], "name": ["i"]}).to_parquet(job.folder / "in" / "d.pqt")
    result = job.run(mini_batch_size=20, retry_settings={"max_retries": 0})
    table = pa.csv.read_csv(job.output / "predictions.csv")
    rows = list(zip(*(table[name].to_pylist() for name in ("file_name", "row", "prediction")), strict=True))
    assert rows == [
        ("a.csv", 0, 4.0), ("a.csv", 1, 6.0), ("b.csv", 0, 11.0), ("c.jsonl", 0, 9.0), ("c.jsonl", 1, 12.0),
        ("d.parquet", 0, 13.0), ("d.pqt", 0, 14.0), ("k/a.csv", 0, 15.0),
    ]  # fmt: skip
    failed = {letter["item"]: letter["message"] for letter in job.dead_letters()}
    assert failed.keys() == {"f.csv", "g.csv", "h.csv", "i.txt", "j/a.csv"}
    assert "empty" in failed["f.csv"]
    assert "'name'" in failed["g.csv"]
    assert "not a number" in failed["h.csv"]
    assert "not supported" in failed["i.txt"]
    assert "negative" in failed["j/a.csv"]
    assert (result["listed"], result["succeeded"], result["failed"]) == (12, 7, 5)


def test_images(make_job: Callable[..., Job], tmp_path: Path) -> None:
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import PythonModel
    from mlflow.types.schema import Schema, TensorSpec
    from PIL import Image

    class Brightness(PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return np.array([model_input.mean()])

    signature = ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, 4, 4, 3))]))
    model = save(Brightness(), tmp_path / "model", signature=signature)
    job = make_job(model_uri=model.as_uri())
    (job.folder / "in").mkdir()
    for number in range(3):
        Image.new("RGB", (4, 4), (number * 10,) * 3).save(job.folder / "in" / f"{number}.png")
    (job.folder / "in" / "broken.jpg").write_bytes(b"no image")
    result = job.run(mini_batch_size=2)
    assert (result["succeeded"], result["failed"]) == (3, 1)
    table = pa.csv.read_csv(job.output / "predictions.csv")
    assert table["prediction"].to_pylist() == [0.0, 10.0, 20.0]


def test_the_azure_layout_of_predictions(make_job: Callable[..., Job], doubling: Path) -> None:
    job = make_job(model_uri=doubling.as_uri()).files({"a.csv": "name,x\nab,1\n"})
    job.run(output_format="azureml")
    assert job.predictions() == b"0,4.0,a.csv\n"


# -- cases with known outcomes --------------------------------------------------------------------------------------------


def test_the_statsmodels_case(make_job: Callable[..., Job], cases: Path) -> None:
    case = cases / "randhie-statsmodels-csv"
    job = make_job(input_uri=(case / "data").as_uri(), model_uri=(case / "model").as_uri(), instance_count=2)
    result = job.run(mini_batch_size=3, max_concurrency_per_instance=2)
    expected = json.loads((case / "expected.json").read_text())
    assert (result["listed"], result["failed"], result["rows"]) == (
        expected["files"],
        expected["failed_items"],
        expected["rows"],
    )
    oracle = pd.read_parquet(case / "oracle.parquet")
    published = pa.csv.read_csv(job.output / "predictions.csv")
    np.testing.assert_allclose(
        published["prediction"].to_numpy(), oracle.iloc[:, -1].to_numpy(), atol=expected["tolerance"]
    )


def test_a_model_that_does_not_load_here_says_what_it_asks_for(make_job: Callable[..., Job], cases: Path) -> None:
    case = cases / "heart-mlflow-nocode-csv"
    launch = {"compute": {"type": "local", "name": "local", "build_environments": False}}
    job = make_job(input_uri=(case / "data").as_uri(), model_uri=(case / "model").as_uri(), launch=launch)
    job.do("plan")
    error = job.do("score", "--instance", "0", code=2)["error"]
    assert error["type"] == "ModelError"
    assert "requirements.txt asks for" in job.log


@pytest.mark.parametrize(
    ("name", "succeeded", "sentence"),
    [
        ("run-returns-scalar", 0, "returned int"),
        ("run-generator", 6, ""),
        ("run-hangs", 0, "timeout"),
        ("run-prints-megabytes", 6, ""),
        ("run-differing-columns", 6, ""),
        ("run-nan-inf", 6, ""),
    ],
)
def test_misbehaving_scripts(
    make_job: Callable[..., Job], cases: Path, name: str, succeeded: int, sentence: str
) -> None:
    job = make_job().files({f"{number}.csv": f"{number}\n" for number in range(6)})
    job.script((cases / "bad" / "scripts" / f"{name}.py").read_text())
    job.do("plan", mini_batch_size=2, max_concurrency_per_instance=2, retry_settings={"max_retries": 1, "timeout": 2})
    job.do("score", "--instance", "0")
    result = job.do("publish", code=0 if succeeded else 2)
    if succeeded:
        assert result["succeeded"] == succeeded
        json.loads((job.output / "manifest.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    else:
        assert sentence in result["error"]["message"]
