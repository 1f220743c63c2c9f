"""Profiles: servers by name, with where their tokens are kept. Never the tokens themselves."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_batch_endpoints.exceptions import UserError

FILE = "BATCH_ENDPOINTS_PROFILES"
"""The variable that names the file, if it is another one."""


class Profile(BaseModel):
    """A server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str = Field(pattern="^https?://")
    token_file: Path | None = None
    """File with a token of it."""


def file() -> Path:
    """Return the file of profiles: ``batch-endpoints/profiles.toml`` where this user keeps settings."""
    named = os.environ.get(FILE)
    if named:
        return Path(named).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "batch-endpoints" / "profiles.toml"


def load(name: str) -> Profile:
    """Return a profile.

    :raises UserError: there is none of that name, or it is none.
    """
    path = file()
    try:
        profiles = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"profile {name!r}: {path} cannot be read: {error}") from None
    if name not in profiles:
        raise UserError(f"there is no profile {name!r} in {path}; it has {', '.join(sorted(profiles)) or 'none'}")
    try:
        profile = Profile.model_validate(profiles[name])
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors())
        raise UserError(
            f"profile {name!r} in {path}: {problems}; a profile has server, and perhaps token_file"
        ) from None
    if profile.token_file is None:
        return profile
    # As it is written beside the file.
    return profile.model_copy(update={"token_file": path.parent / profile.token_file.expanduser()})
