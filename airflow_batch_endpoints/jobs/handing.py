"""A job on its way to ``worker plan``: a variable of the environment, which Linux cuts off at 128 KiB. Stdlib only."""

from __future__ import annotations

import base64
import zlib

VARIABLE = "BATCH_ENDPOINTS_JOB_SPEC"
MAX_BYTES = 100_000
"""Most bytes of the variable's value; JSON beyond it is compressed, which pipelines of many steps on one compute suit well."""
_MARK = "zlib:"


def pack(text: str) -> str:
    """Return a job specification as the value of the variable.

    :raises ValueError: it is too big even so.
    """
    if len(text.encode()) <= MAX_BYTES:
        return text
    packed = _MARK + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    if len(packed) > MAX_BYTES:
        raise ValueError(
            f"the job takes {len(packed):,} bytes to hand to its worker, and {MAX_BYTES:,} is the most; make the commands of its "
            "steps shorter (put them into their code), or split it"
        )
    return packed


def unpack(value: str) -> str:
    """Return what was packed."""
    if not value.startswith(_MARK):
        return value
    return zlib.decompress(base64.b64decode(value.removeprefix(_MARK))).decode()
