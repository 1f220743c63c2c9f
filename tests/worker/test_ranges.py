"""Row ranges, compressed inputs, and outputs that grow, by the real worker processes."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from airflow_batch_endpoints.documents.deployment import DeploymentSettings
from airflow_batch_endpoints.jobs.spec import JobSpec
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.worker.scoring.base import ScoringError
from airflow_batch_endpoints.worker.scoring.mlflow import MlflowScorer
from tests.worker.conftest import ECHO, Job, eventually

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

ROWS = 1000
FRAME = pd.DataFrame(
    {
        "id": [f"{number:06}" for number in range(ROWS)],
        "x": [number / 8 for number in range(ROWS)],
        "name": ['says "hi",\r\nleaves' if number % 7 == 0 else "né" * (number % 5) + "-" for number in range(ROWS)],
    }
)


def text(frame: pd.DataFrame) -> str:
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    return "\ufeff" + buffer.getvalue().rstrip()


def big_files(job: Job) -> Job:
    """One file of each kind, each worth several ranges."""
    folder = job.folder / "in"
    folder.mkdir()
    (folder / "a.csv").write_text(text(FRAME), newline="")
    (folder / "b.jsonl").write_text("".join(f'{{"name": "{n % 3}", "x": {n}}}\n\n' for n in range(ROWS)))
    pq.write_table(pa.Table.from_pandas(FRAME), folder / "c.parquet", row_group_size=130)
    (folder / "d.csv").write_text("x,name\n1,small\n")
    return job


def test_cut_or_whole_the_predictions_are_the_same(make_job: Callable[..., Job], doubling: Path) -> None:
    outputs = []
    for number, (size, slots, instances) in enumerate([(10, 1, 1), ("4KB", 2, 1), ("300 rows", 1, 2)]):
        job = big_files(make_job(f"job-{number}", model_uri=doubling.as_uri(), instance_count=instances))
        plan = job.do(
            "plan", mini_batch_size=size, max_concurrency_per_instance=slots, error_threshold=0, join_input=True
        )
        assert (plan["items"] > 4) == (size != 10)
        workers = [job.start("score", "--instance", str(instance)) for instance in range(instances)]
        assert [worker.communicate()[0] and worker.returncode for worker in workers] == [0] * instances
        result = job.do("publish")
        assert (result["listed"], result["rows"]) == (plan["items"], 3 * ROWS + 1)
        outputs.append(job.predictions())
    assert outputs[0] == outputs[1] == outputs[2]
    table = pa.csv.read_csv(
        io.BytesIO(outputs[0]),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types={"id": pa.string()}),
    )
    assert table.column_names == ["file_name", "row", "id", "x", "name", "prediction"]
    assert table["row"].to_pylist() == [*range(ROWS)] * 3 + [0]
    for name, values in {"prediction": FRAME.x * 2 + FRAME.name.str.len(), "id": FRAME.id, "name": FRAME.name}.items():
        assert table[name].to_pylist()[:ROWS] == values.to_list()


def test_a_bad_row_fails_its_range_alone(make_job: Callable[..., Job], doubling: Path) -> None:
    job = make_job(model_uri=doubling.as_uri())
    job.files(
        {"a.csv": "x,name\n" + "".join(f"{-1 if n == 57 else n},n\n" for n in range(100)), "b.csv": "x,name\n1,b\n"}
    )
    settings: dict[str, Any] = {"mini_batch_size": "10 rows", "retry_settings": {"max_retries": 0}}
    result = job.run(**settings, error_threshold="9.1%")
    assert (result["listed"], result["succeeded"], result["failed"], result["rows"]) == (11, 10, 1, 91)
    (letter,) = job.dead_letters()
    assert letter["item"] == "a.csv"
    assert "negative" in letter["message"]
    assert (letter["range"]["first_row"], letter["range"]["rows"]) == (50, 10)
    assert pa.csv.read_csv(job.output / "predictions.csv")["row"].to_pylist() == [*range(50), *range(60, 100), 0]


def test_a_script_gets_whole_files_by_bytes(make_job: Callable[..., Job]) -> None:
    job = make_job().files({f"{n}.csv": "x\n" * 300 for n in range(6)} | {"7.csv": "x\n" * 3000}).script(ECHO)
    assert job.do("plan", mini_batch_size="1300B".replace("B", "KB").replace("1300", "2"))["mini_batches"] == 3
    job.do("score", "--instance", "0")
    assert job.do("publish")["rows"] == 7


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ranges_of_a_remote_file_are_read_alone(make_job: Callable[..., Job], doubling: Path, s3: str) -> None:
    import s3fs

    local = big_files(make_job("local", model_uri=doubling.as_uri()))
    local.run(output_file_name="predictions/")
    s3fs.S3FileSystem().put(str(local.folder / "in"), "bucket/in", recursive=True)
    remote = make_job("remote", model_uri=doubling.as_uri(), input_uri="s3://bucket/in", output_uri="s3://bucket/out")
    remote.spec["allowed_input_uris"] = ["s3://bucket"]
    settings: dict[str, Any] = {"mini_batch_size": "6KB", "output_file_name": "predictions/"}
    assert remote.do("plan", **settings)["items"] > 10
    options = ["--output-uri", "s3://bucket/out", "--job", remote.name]
    remote.do("score", *options, "--instance", "0")
    result = remote.do("publish", *options)
    assert (result["failed"], result["rows"]) == (0, 3 * ROWS + 1)
    s3fs.S3FileSystem().get("bucket/out/predictions", str(remote.folder / "predictions"), recursive=True)
    tables = [pa.dataset.dataset(folder / "predictions").to_table() for folder in (local.output, remote.folder)]
    assert tables[0].equals(tables[1])


def scorer(model: Path, scratch: Path, **settings: Any) -> MlflowScorer:
    """The scorer as a slot has it."""
    spec = JobSpec(
        endpoint="e", deployment="d", deployment_revision="r", job="j", input_uri="file:///in", output_uri="file:///out",
        model_uri=model.as_uri(), settings=DeploymentSettings(**settings),
    )  # fmt: skip
    scorer = MlflowScorer(spec, model, scratch)
    scorer.load()
    return scorer


def items(folder: Path, contents: dict[str, bytes]) -> list[Item]:
    found = []
    for number, (name, content) in enumerate(contents.items()):
        (folder / name).write_bytes(content)
        found.append(Item(number, name, (folder / name).as_uri(), len(content)))
    return found


def test_compressed_files_are_read_and_a_corrupt_one_fails_alone(doubling: Path, tmp_path: Path) -> None:
    content = text(FRAME).encode()
    contents = {
        "a.csv.gz": gzip.compress(content[: len(content) // 2]) + gzip.compress(content[len(content) // 2 :]),
        "b.csv.bz2": bz2.compress(content),
        "c.jsonl.zst": pa.compress(b'{"x": 1, "name": "z"}\n' * 10, codec="zstd", asbytes=True),
        "d.csv.gz": gzip.compress(content)[:-100],
        "e.csv.gz": b"not compressed",
        "f.parquet.gz": gzip.compress(b"x"),
    }
    batch = scorer(doubling, tmp_path).score(items(tmp_path, contents))
    assert batch.rows == 2 * ROWS + 10
    messages = {failure.item: failure.message for failure in batch.failures}
    assert messages.keys() == {"d.csv.gz", "e.csv.gz", "f.parquet.gz"}
    assert "Truncated" in messages["d.csv.gz"]
    assert "header" in messages["e.csv.gz"]
    assert "not supported" in messages["f.parquet.gz"]


def test_columns_of_the_input_are_picked(doubling: Path, tmp_path: Path) -> None:
    picking = scorer(doubling, tmp_path, join_input=True, input_columns=["code", "x"])
    contents = {"a.csv": b"code,x,name,z\nNA,1,a,1\n007,2,b,2\n", "b.csv": b"x,name\n1,a\n"}
    batch = picking.score(items(tmp_path, contents))
    assert batch.table is not None
    assert batch.table.to_pylist() == [
        {"file_name": "a.csv", "row": 0, "code": "NA", "x": 1.0, "prediction": 3.0},
        {"file_name": "a.csv", "row": 1, "code": "007", "x": 2.0, "prediction": 5.0},
    ]
    (failure,) = batch.failures
    assert "['code'] of settings.input_columns are missing" in failure.message


def test_a_name_that_means_two_things_is_told(doubling: Path, tmp_path: Path) -> None:
    joining = scorer(doubling, tmp_path, join_input=True)
    with pytest.raises(ScoringError, match=r"\['prediction'\].*pick others with settings.input_columns"):
        joining.score(items(tmp_path, {"a.csv": b"prediction,x,name\n1,1,a\n"}))
    with pytest.raises(ScoringError, match="images have none"):
        joining.score(items(tmp_path, {"a.png": b""}))


# -- outputs --------------------------------------------------------------------------------------------------------------


def test_parts_of_other_types_get_the_schema_of_all(make_job: Callable[..., Job]) -> None:
    job = make_job().files({f"{n}.csv": f"{n}\n" for n in range(6)})
    job.script(
        "import os\ndef init(): pass\ndef run(b):\n"
        "    n = int(open(b[0]).read())\n"
        "    return [{'n': n if n < 4 else n + .5, **({'late': 'x'} if n == 5 else {})}]\n"
    )
    job.run(mini_batch_size=1, output_file_name="predictions/")
    files = job.manifest()["files"]
    assert len(files) == 6
    schemas = [pq.read_schema(job.output / file["name"]) for file in files]
    assert {str(schema) for schema in schemas} == {"n: double\nlate: string"}
    table = pa.dataset.dataset(job.output / "predictions").to_table()
    assert table["n"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.5, 5.5]


def test_a_folder_of_parts_is_the_same_whoever_did_the_work(make_job: Callable[..., Job]) -> None:
    undisturbed = parts_of(make_job("undisturbed", instance_count=2))
    assert undisturbed == parts_of(make_job("interrupted", instance_count=2), interrupt=True)


def parts_of(job: Job, *, interrupt: bool = False) -> list[bytes]:
    job.files({f"{n:02}.csv": f"{n}\n" for n in range(20)}).script(ECHO)
    job.do("plan", mini_batch_size=2, output_file_name="predictions/", keep_working_state=True)
    if interrupt:
        first = job.start("score", "--instance", "0")
        eventually(lambda: list((job.output / "_batch" / "commits").glob("*")))
        first.terminate()
        first.communicate()
    workers = [job.start("score", "--instance", str(instance)) for instance in range(2)]
    assert [worker.communicate()[0] and worker.returncode for worker in workers] == [0, 0]
    (job.output / "predictions").mkdir()
    (job.output / "predictions" / "part-00099.parquet").write_bytes(b"what a publication that was interrupted left")
    assert job.do("publish")["rows"] == 20
    files = job.manifest()["files"]
    assert [file["name"] for file in files] == [f"predictions/part-{n:05}.parquet" for n in range(10)]
    assert [file["rows"] for file in files] == [2] * 10
    # Nothing was written again: what is published is what the slots sealed.
    parts = {path.stat().st_ino for path in (job.output / "_batch" / "parts").iterdir()}
    assert {(job.output / file["name"]).stat().st_ino for file in files} <= parts
    assert job.do("publish")["state"] == "Completed"
    contents = [(job.output / file["name"]).read_bytes() for file in files]
    assert [hashlib.sha256(content).hexdigest() for content in contents] == [file["sha256"] for file in files]
    dataset = pa.dataset.dataset(job.output / "predictions").to_table()
    assert dataset["prediction"].to_pylist() == [f"{n:02}.csv:{n}" for n in range(20)]
    return contents


def test_provenance_of_every_row(make_job: Callable[..., Job]) -> None:
    job = (
        make_job(deployment_revision="abc")
        .files({"a.csv": "a\n"})
        .script(
            "tried = []\ndef init(): pass\ndef run(b):\n"
            "    tried.append(b)\n    if len(tried) < 3: raise ValueError('not yet')\n    return ['x']\n"
        )
    )
    job.run(provenance=True)
    model = (job.folder / "model").as_uri()
    assert job.predictions().decode() == (
        f'prediction,model_version,deployment_revision,attempt\n"x","{model}","abc",3\n'
    )
