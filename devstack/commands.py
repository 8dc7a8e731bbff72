"""The commands of Millgate's processes, which `make run`, the Makefile's single targets and Compose run."""

import os
import sys
from pathlib import Path

MIGRATE = (
    "dbmate", "--migrations-dir", "db/migrations", "--no-dump-schema", "--wait", "--migration-lock", "up",
)  # fmt: skip
API = ("gunicorn", "--config", "service/gunicorn_conf.py", "service.app:create_app()")
WORKER = ("python", "-m", "workers")
# glibc keeps freed memory for each thread: some 4 KiB for each gateway, never used again.
WORKER_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
# Tools that an operator runs occasionally.
TOOLS = {
    "tokens": ("python", "-m", "service.manage_tokens"),
    "rotate-keys": ("python", "-m", "service.rotate_keys"),
    "take-over": ("python", "-m", "service.take_over"),
}
PARTS = {"migrate": MIGRATE, "api": API, "worker": WORKER}


def local(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command with its program from the current virtual environment, never from the PATH.

    dbmate is kept from reading `.env`, whose syntax it would misread (see `settings_of`).
    """
    name, *arguments = command
    if name == "dbmate":
        arguments = ["--env-file", os.devnull, *arguments]
    program = sys.executable if name == "python" else str(Path(sys.executable).parent / name)
    return (program, *arguments)
