"""Results of earlier runs beside new ones: each row in RESULTS.md says which commit it was measured on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.results import Goal, Section


def merge(
    path: Path, machine: str, measured: Mapping[str, Section], failed: Sequence[str]
) -> dict[str, Section]:
    """All results of this machine, by row; writes them to `path`. Those of other machines are dropped.

    Raises OSError, and ValueError or KeyError for a file that is not one of ours.
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
