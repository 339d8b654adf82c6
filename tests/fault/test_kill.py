"""kill -9 under load, the short form of the campaigns: daemon, launcher, supervisors and pairs of them."""
import os

import campaign_kill
import pytest
from driver import show


@pytest.mark.parametrize('mode, kills', [('system', 45), ('user', 25)] if os.geteuid() == 0 else [('user', 45)])
def test_kills(mode, kills):
    seed = int.from_bytes(os.urandom(4), 'big')
    found, numbers = campaign_kill.mixed(kills, seed, mode)
    assert not found, f'seed {seed}\n{show(found)}'
    assert numbers['tasks'] > 3 * kills and numbers['starts'] > numbers['tasks'] // 2, numbers
