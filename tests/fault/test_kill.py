"""kill-daemon as part of the suite: fifty kills of the daemon under load, in each mode that the caller can have."""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.mark.parametrize("mode", ["system", "user"] if os.geteuid() == 0 else ["user"])
def test_fifty_kills(mode):
    done = subprocess.run([sys.executable, HERE / "kill-daemon", "-n", "50", "--mode", mode], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " 0 problems" in done.stdout.splitlines()[-1]
