"""Process numbers that come round, and readers that do not read: the short forms of campaign_pid.py and campaign_reader.py."""
import os
import subprocess
import sys

import campaign_pid
import campaign_reader
import pytest
from driver import show

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.skipif(campaign_pid.missing() is not None, reason=str(campaign_pid.missing()))
def test_pid_reuse():
    done = subprocess.run([sys.executable, os.path.join(HERE, 'chaos'), 'pid-reuse', '-n', '40'], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert ', 0 violations' in done.stdout


def test_readers():
    seed = int.from_bytes(os.urandom(4), 'big')
    found, numbers = campaign_reader.hold(2000, seed)
    assert not found, f'seed {seed}\n{show(found)}'
    assert numbers['walks through all pages'] > 0
