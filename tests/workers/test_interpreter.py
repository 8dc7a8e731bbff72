"""The settings of the interpreter that a worker starts with."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.req("ORCH-05")

# A million objects that stay, as ten thousand gateways have them; then how often all were looked at.
PROGRAM = """
import gc
from workers.interpreter import set_up_interpreter
set_up_interpreter()
before = gc.get_stats()[2]["collections"]
kept = [[number] for number in range(1_000_000)]
print(gc.get_stats()[2]["collections"] - before)
"""


def test_a_fleet_that_grows_is_seldom_collected_as_a_whole() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2
