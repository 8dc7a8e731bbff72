"""The interpreter settings of a worker."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.req("ORCH-05")

# A million lasting objects, as with ten thousand gateways; then the number of full collections.
PROGRAM = """
import gc
from workers.interpreter import set_up_interpreter
set_up_interpreter()
before = gc.get_stats()[2]["collections"]
kept = [[number] for number in range(1_000_000)]
print(gc.get_stats()[2]["collections"] - before)
"""


def test_a_growing_fleet_causes_few_full_garbage_collections() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2
