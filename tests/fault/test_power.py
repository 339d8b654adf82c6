"""Power cuts, the short form: some hundred crash states of one recording, played back (campaign_power.py)."""
import os
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


def missing():
    if os.geteuid() != 0:
        return 'mounting needs root'
    if not shutil.which('qemu-storage-daemon') or not shutil.which('mkfs.ext4'):
        return 'needs qemu-storage-daemon and mkfs.ext4'
    if not os.path.exists('/dev/fuse') or not os.path.exists('/dev/loop-control'):
        return 'needs /dev/fuse and loop devices'
    return None


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_power_cuts():
    done = subprocess.run([sys.executable, os.path.join(HERE, 'chaos'), 'power-cut', '-n', '120'], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert ', 0 violations' in done.stdout
