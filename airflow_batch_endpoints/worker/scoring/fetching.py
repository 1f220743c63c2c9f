"""Having the items of a mini-batch as local files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airflow_batch_endpoints.exceptions import InfrastructureError
from airflow_batch_endpoints.planning.items import Item
from airflow_batch_endpoints.storage.uris import is_local, local_path
from airflow_batch_endpoints.worker.scoring.base import ScoringError


@contextmanager
def local_files(items: Sequence[Item], allowed: Sequence[str], scratch: Path) -> Iterator[list[str]]:
    """Yield a local path for every item: its own when it is local, else a copy that goes away afterwards.

    :param allowed: prefixes that downloads must stay within.
    :param scratch: where copies go.
    """
    if all(is_local(item.uri) for item in items):
        yield [local_path(item.uri) for item in items]
        return
    folder = Path(tempfile.mkdtemp(prefix="items-", dir=scratch))
    try:
        yield [str(_fetch(item, folder, allowed)) for item in items]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(item: Item, folder: Path, allowed: Sequence[str]) -> Path:
    # Below a folder of its own number: base names repeat, and scripts look at names.
    path = folder / str(item.number) / item.path
    path.parent.mkdir(parents=True)
    if item.uri.startswith(("http://", "https://")):
        from airflow_batch_endpoints.storage.http import download

        try:
            download(item.uri, path, allowed)
        except InfrastructureError as error:
            # Any URL may be one of another server; that it does not answer is the matter of this item.
            raise ScoringError(str(error)) from error
        return path
    from airflow_batch_endpoints.storage.remote import file_system
    from airflow_batch_endpoints.storage.retries import retrying

    fs, remote = file_system(item.uri)
    retrying(f"fetching {item.uri}", lambda: fs.get_file(remote, str(path)))
    return path
