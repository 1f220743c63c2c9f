"""Reading inputs over HTTP without being led elsewhere.

A redirect is followed only within the allowed prefixes. A host that resolves to a private, loopback or link-local address
(a cloud's metadata service, say) is refused unless an allowed prefix names that very host.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from airflow_batch_endpoints.exceptions import InfrastructureError, InputError, ReachError
from airflow_batch_endpoints.storage.reach import is_within
from airflow_batch_endpoints.storage.retries import retrying
from airflow_batch_endpoints.storage.uris import normalise, shown

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 429, 500, 502, 503, 504)
"""What a server answers that may answer otherwise soon."""
MAX_REDIRECTS = 5
_CHUNK = 1 << 20


def size_of(uri: str, allowed: Sequence[str]) -> int:
    """Return the size a server announces for a file, 0 when it does not say."""
    return describe(uri, allowed)[0]


def describe(uri: str, allowed: Sequence[str]) -> tuple[int, str | None]:
    """Return the size a server announces for a file (0 when it does not say) and its word on the content: etag or last change."""
    headers = retrying(f"asking for {shown(uri)}", lambda: _ask(uri, allowed, "HEAD", None))
    # What is stored compressed may come so whatever is asked for; its size is known once it is unpacked.
    length = "" if "Content-Encoding" in headers else headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else 0
    mark = headers.get("ETag") or headers.get("Last-Modified")
    return size, f"{size}-{mark}" if mark else None


def download(uri: str, path: Path, allowed: Sequence[str]) -> None:
    """Download a file.

    :param allowed: prefixes that the URI and every redirect must stay within.
    :raises ReachError: when led elsewhere.
    """
    retrying(f"downloading {shown(uri)}", lambda: _ask(uri, allowed, "GET", path))


def _ask(uri: str, allowed: Sequence[str], method: str, path: Path | None) -> Mapping[str, str]:
    try:
        return asyncio.run(_request(uri, allowed, method, path))
    # These two tell the whole URI, and its query may be what lets one in.
    except aiohttp.ClientResponseError as error:
        raise OSError(f"the server does not answer by the rules of HTTP: {error.message}") from None
    except aiohttp.InvalidURL:
        raise InputError(f"input {shown(uri)} is no URI that HTTP knows") from None


async def _request(uri: str, allowed: Sequence[str], method: str, path: Path | None) -> Mapping[str, str]:
    hosts = {urlsplit(prefix).hostname or "" for prefix in allowed}
    connector = aiohttp.TCPConnector(resolver=_PublicResolver(hosts))
    timeout = aiohttp.ClientTimeout(total=None, connect=30, sock_read=60)
    # As stored: what is compressed on its way has another size.
    headers = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        for _ in range(MAX_REDIRECTS + 1):
            _refuse_private_literal(uri, hosts)
            async with session.request(method, uri, allow_redirects=False) as answer:
                if answer.status in _REDIRECTS:
                    uri = _redirect(uri, answer.headers.get("Location", ""), allowed)
                    continue
                if answer.status in (403, 404, 410):
                    raise InputError(f"input {shown(uri)}: the server answers {answer.status} {answer.reason}")
                if answer.status in _PASSING:
                    raise ConnectionError(f"the server answers {answer.status} {answer.reason}")
                if answer.status >= 400 and not (method == "HEAD" and answer.status in (405, 501)):
                    raise InfrastructureError(f"input {shown(uri)}: the server answers {answer.status} {answer.reason}")
                if path is not None:
                    await _save(answer, path)
                return answer.headers
    raise InputError(f"input {shown(uri)}: more than {MAX_REDIRECTS} redirects")


async def _save(answer: Any, path: Path) -> None:
    with path.open("wb") as file:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            file.write(chunk)


def _redirect(uri: str, location: str, allowed: Sequence[str]) -> str:
    target = normalise(urljoin(uri, location), what="redirect")
    if not any(is_within(target, prefix) for prefix in allowed):
        raise ReachError(
            f"input {shown(uri)} redirects to {shown(target)}, which is outside [batch_endpoints] allowed_input_uris"
        )
    return target


def _is_private(address: str) -> bool:
    return not ipaddress.ip_address(address.partition("%")[0]).is_global


def _refuse_private_literal(uri: str, hosts: set[str]) -> None:
    host = urlsplit(uri).hostname or ""
    try:
        is_private = _is_private(host)
    except ValueError:
        return
    if is_private and host not in hosts:
        raise ReachError(_private(host))


def _private(host: str) -> str:
    return (
        f"{shown(host)} is a private or link-local address; it is reached only when [batch_endpoints] "
        "allowed_input_uris names that host"
    )


class _PublicResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to addresses which are not public."""

    def __init__(self, hosts: set[str]) -> None:
        self._hosts = hosts
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host not in self._hosts and any(_is_private(entry["host"]) for entry in found):
            raise ReachError(_private(host))
        return found

    async def close(self) -> None:
        await self._resolver.close()
