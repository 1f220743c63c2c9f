"""How much goes into a mini-batch: a number of files, or an amount of bytes or rows."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

_AMOUNT = re.compile(r"(?P<amount>[1-9]\d{0,14})\s*(?P<unit>rows?|[kmgt]i?b)\Z", re.IGNORECASE)
_BYTES = {
    f"{prefix}{kind}": base**power
    for power, prefix in enumerate("kmgt", 1)
    for kind, base in (("b", 1000), ("ib", 1024))
}


class Size(NamedTuple):
    """An amount of input."""

    amount: int
    unit: Literal["files", "bytes", "rows"]


def parse(value: Any) -> Size:
    """Read a size: ``10`` (files), ``"64MB"`` (10^6 bytes each; ``MiB`` is 2^20) or ``"50000 rows"``.

    :raises ValueError: it is none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Size(value, "files")
    match = _AMOUNT.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            'a number of files, at least 1, a size such as "64MB", or a number of rows such as "50000 rows"'
        )
    amount, unit = int(match["amount"]), match["unit"].lower()
    return Size(amount, "rows") if unit.startswith("row") else Size(amount * _BYTES[unit], "bytes")
