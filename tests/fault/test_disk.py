"""A really full disk, the short form (campaign_disk.py). The unit tests of the store and of dispatch have it call by call."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.skipif(os.geteuid() != 0, reason='mounting needs root')
def test_full_disk():
    done = subprocess.run([sys.executable, os.path.join(HERE, 'chaos'), 'full-disk', '-n', '6'], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert ', 0 violations' in done.stdout
