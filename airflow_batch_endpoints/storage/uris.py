"""URIs of inputs, outputs and artifacts: one way to write each, and no surprises in them."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import SplitResult, quote_from_bytes, unquote, unquote_to_bytes, urlsplit

from airflow_batch_endpoints.exceptions import UserError

REMOTE_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "az", "adl", "http", "https")
SCHEMES = ("file", *REMOTE_SCHEMES)
MAX_LENGTH = 4096
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_CREDENTIALS = re.compile(r"://[^/\s]+@")
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def shown(value: object, length: int = 120) -> str:
    """Return a value as it may stand in a message: escaped, shortened, and without the query of a URI."""
    text = ascii(without_query(value) if isinstance(value, str) else value)
    return text if len(text) <= length else f"{text[:length]}..."


def shown_path(path: str) -> str:
    """Return a relative path as text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def without_credentials(text: str) -> str:
    """Return a text with nothing in front of the hosts of the URLs in it."""
    return _CREDENTIALS.sub("://", text)


def without_query(uri: str) -> str:
    """Return a URI as people may see it: over HTTP the query may be what lets one in (``?X-Amz-Signature=``, ``?sig=``)."""
    return uri.partition("?")[0] if _HTTP.match(uri) else uri


def normalise(uri: str, *, what: str = "uri", base: Path | None = None) -> str:
    """Return the one way to write a URI: scheme in lower case, no ``.`` or ``..``, no trailing slash.

    A path without a scheme is a local one and becomes ``file:///...``. Bytes of local paths that are not UTF-8 are
    percent-encoded. In ``file:`` URIs percent-encoding is decoded first; elsewhere the path is taken as it is written, and
    over HTTP it must lead to the same place once it is decoded.

    :param uri: a URI or a local path.
    :param what: what it is, for the message.
    :param base: folder that relative local paths start from; the current directory by default.
    :raises UserError: when it is empty, too long, of an unknown scheme, or holds control characters, credentials or hidden dots.
    """
    if not uri.strip():
        raise UserError(f"{what}: empty; give a local path or a URI such as s3://bucket/folder")
    if len(uri) > MAX_LENGTH:
        raise UserError(f"{what}: {len(uri)} characters; at most {MAX_LENGTH} are allowed")
    if _CONTROL.search(uri):
        raise UserError(f"{what}: {shown(uri)} holds control characters, which no URI may")
    match = _SCHEME.match(uri)
    if match is None:
        return _file_uri(os.path.abspath(os.path.join(base or "", os.path.expanduser(uri))))
    scheme = match[1].lower()
    if scheme not in SCHEMES:
        raise UserError(f"{what}: {shown(uri)} has the scheme {scheme!r}; supported are {', '.join(SCHEMES)}")
    try:
        parts = _split(uri, scheme)
        has_credentials = "@" in parts.netloc and scheme not in ("abfs", "abfss")
    except ValueError as error:
        raise UserError(f"{what}: {shown(uri)} is not a URI: {error}") from None
    if has_credentials or parts.password:
        raise UserError(f"{what}: the URI carries credentials; give workers access through their environment instead")
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UserError(f"{what}: {shown(uri)} names the host {parts.netloc!r}; a file URI has three slashes")
        path = os.fsdecode(unquote_to_bytes(parts.path))
        if "\0" in path or not path.startswith("/"):
            raise UserError(f"{what}: {shown(uri)} is not the URI of an absolute path")
        return _file_uri(os.path.normpath(path))
    return _remote_uri(parts, scheme, f"{what}: {shown(uri)}")


def _split(uri: str, scheme: str) -> SplitResult:
    """Split a URI. Only HTTP has queries and fragments: elsewhere their signs are some of a name's, or of a pattern's."""
    if scheme.startswith("http"):
        return urlsplit(uri)
    rest = uri[len(scheme) + 1 :]
    host, slash, path = rest[2:].partition("/") if rest.startswith("//") else ("", "", rest)
    return SplitResult(scheme, host, slash + path, "", "")


def _remote_uri(parts: SplitResult, scheme: str, what: str) -> str:
    is_http = scheme.startswith("http")
    if not parts.netloc:
        raise UserError(f"{what} names no {'host' if is_http else 'bucket'}")
    path = posixpath.normpath(f"/{parts.path}").replace("//", "/")
    # Clients and servers of HTTP decode a path before they follow its dots: it must not be another place then.
    if is_http and {".", ".."} & {*unquote(path).replace("\\", "/").split("/")}:
        raise UserError(
            f"{what} hides '.' or '..' behind percent-encoding or a backslash, and leads elsewhere than it seems; "
            "write the path that is meant"
        )
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{parts.netloc.lower() if is_http else parts.netloc}{path.rstrip('/')}{query}"


def _file_uri(path: str) -> str:
    # Glob characters stay readable; everything else that is not plain is percent-encoded.
    return "file://" + quote_from_bytes(os.fsencode(path), safe="/*?[]{}=,+@:!$&'()~ ")


def is_local(uri: str) -> bool:
    """Tell whether a normalised URI is of this machine's file system."""
    return uri.startswith("file://")


def local_path(uri: str) -> str:
    """Return the path of a ``file:`` URI; bytes that are not UTF-8 come back as surrogates."""
    return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))


def join(uri: str, *names: str) -> str:
    """Return the URI of something below a folder. ``names`` are relative paths as they are, not encoded; a query stays last."""
    path = "/".join(names)
    if is_local(uri):
        return f"{uri.rstrip('/')}/{_file_uri(path).removeprefix('file://')}"
    folder = without_query(uri)
    return f"{folder.rstrip('/')}/{path}{uri.removeprefix(folder)}"
