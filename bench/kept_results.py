"""Merges earlier results with new ones: each row in RESULTS.md names the commit it was measured on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.results import Goal, Section


def merge(
    path: Path, machine: str, measured: Mapping[str, Section], failed: Sequence[str]
) -> dict[str, Section]:
    """Return all results of this machine by row, and write them to `path`; drop those of other machines.

    Raises OSError, and ValueError or KeyError for a file in another format.
    """
    kept = _read(path, machine)
    for name in failed:
        kept.pop(name, None)
    kept |= measured
    rows = {name: asdict(section) for name, section in kept.items()}
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
    return kept


def _read(path: Path, machine: str) -> dict[str, Section]:
    if not path.exists():
        return {}
    file = json.loads(path.read_text())
    if file["machine"] != machine:
        return {}
    return {
        name: Section(**{**row, "goals": tuple(Goal(**goal) for goal in row["goals"])})
        for name, row in file["rows"].items()
    }
