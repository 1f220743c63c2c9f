"""Strict JSON: no duplicate keys, no lone surrogates, no NaN, limited in depth; errors name the place."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from airflow_batch_endpoints.documents.loading import MAX_DEPTH
from airflow_batch_endpoints.documents.validation import shown
from airflow_batch_endpoints.exceptions import DocumentError, Problem


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, duplicates included."""


def parse_json(text: bytes, source: str) -> Any:
    """Parse JSON.

    :param source: how messages call it.
    :raises DocumentError: when it is anything else.
    """
    try:
        raw = json.loads(text.decode(), object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise DocumentError([Problem(source, "(body)", "not JSON: it is not UTF-8")]) from None
    except RecursionError:
        raise DocumentError([Problem(source, "(body)", f"nested deeper than {MAX_DEPTH} levels")]) from None
    except ValueError as error:
        raise DocumentError([Problem(source, "(body)", f"not JSON: {error}")]) from None
    problems: list[Problem] = []
    value = _plain(raw, [], source, problems)
    if problems:
        raise DocumentError(problems)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _plain(value: Any, path: list[str], source: str, problems: list[Problem]) -> Any:
    place = ".".join(path) or "(body)"
    if len(path) > MAX_DEPTH:
        problems.append(Problem(source, ".".join(path[:3]), f"nested deeper than {MAX_DEPTH} levels"))
        return None
    if isinstance(value, _Pairs):
        content: dict[str, Any] = {}
        for name, entry in value:
            if _is_broken(name):
                problems.append(
                    Problem(source, place, f"the name {shown(name)} is not text: half of a character is missing")
                )
                continue
            if name in content:
                problems.append(Problem(source, ".".join([*path, name]), "stands twice; keep one of the two"))
            content[name] = _plain(entry, [*path, name], source, problems)
        return content
    if isinstance(value, list):
        return [_plain(entry, [*path, str(number)], source, problems) for number, entry in enumerate(value)]
    if isinstance(value, str) and _is_broken(value):
        problems.append(Problem(source, place, f"{shown(value)} is not text: half of a character is missing"))
        return None
    return value


def _is_broken(text: str) -> bool:
    """Tell whether a text holds half of a surrogate pair, which no encoding can write."""
    return any("\ud800" <= character <= "\udfff" for character in text)
