"""A blow at system calls on the way of a task, the short form: some of them, chosen by the seed; `chaos calls-kill`, `calls-start` and
`calls-error` walk all."""
import os

import campaign_call
import pytest
from driver import show

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='attaching to the launcher needs root')
SEED = int.from_bytes(os.urandom(4), 'big')


@pytest.mark.parametrize('role, step', [('daemon', 20), ('launcher', 8), ('supervisor', 20), ('reused', 20)])
def test_kill_at_calls(role, step):
    found, numbers = campaign_call.kills(100, SEED, roles=(role,), scenes=('short',), step=step)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers['blows'] >= 4, numbers


def test_kill_at_calls_of_a_start():
    found, numbers = campaign_call.at_every_start(100, SEED, step=140)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers['blows'] >= 3, numbers


@pytest.mark.parametrize('error, role, step', [('ENOSPC', 'daemon', 13), ('EIO', 'daemon', 13), ('EMFILE', 'daemon', 2), ('ENOMEM', 'daemon', 8),
                                               ('ENOSPC', 'supervisor', 6), ('EMFILE', 'supervisor', 7), ('EMFILE', 'launcher', 2)])
def test_error_at_calls(error, role, step):
    found, numbers = campaign_call.errors(100, SEED, which=(error,), roles=(role,), scenes=('short',), step=step)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers[f'{error} blows'] >= 1, numbers
