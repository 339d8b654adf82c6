"""A blow at system calls on the way of a task, the short form: some of them, chosen by the seed; `chaos calls-kill`, `calls-start`,
`calls-enospc` and the like walk all."""
import os

import campaign_call
import pytest
from driver import World, show

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='attaching to the launcher needs root')
SEED = int.from_bytes(os.urandom(4), 'big')


@pytest.mark.parametrize('role, step', [('daemon', 20), ('launcher', 3), ('supervisor', 20), ('reused', 20)])
def test_kill_at_calls(role, step):
    found, numbers = campaign_call.kills(100, SEED, roles=(role,), scenes=('short',), step=step)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers['blows'] >= 4, numbers


def test_kill_at_calls_of_a_start():
    found, numbers = campaign_call.at_every_start(100, SEED, step=140)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers['blows'] >= 3, numbers


@pytest.mark.parametrize('error, role, step', [('ENOSPC', 'daemon', 13), ('EIO', 'daemon', 13), ('EMFILE', 'daemon', 2), ('ENOMEM', 'daemon', 8),
                                               ('ENOSPC', 'supervisor', 6), ('EMFILE', 'supervisor', 7), ('ENOMEM', 'supervisor', 4), ('EMFILE', 'launcher', 2)])
def test_error_at_calls(error, role, step):
    found, numbers = campaign_call.errors(100, SEED, which=(error,), roles=(role,), scenes=('short',), step=step)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers[f'{error} blows'] >= 1, numbers


def test_a_full_disk_in_the_middle_of_a_bulk_call():
    """What the 507 says of the tasks is true, whichever of the steps it was that met the full disk."""
    world, said = World(f'{SEED}.bulk', log_level='err'), []
    try:
        world.d.post('/queues/default/pause')
        for n in (2, 40, 90, 140, 200, 300, 400):
            ids = world.submit('short', 900)
            strike = campaign_call.Strike(['-e', 'ENOSPC'], n, world.pid())
            a = world.d.ask('POST', '/tasks/cancel', {'task_ids': ids})
            struck = strike.end()
            states = [world.d.status(i)['status'] for i in ids]
            if a.status == 507:
                changed = states.count('cancelled')
                assert ('nothing was changed' in a.text) == (changed == 0), (n, struck, changed, a.text)
                said.append(changed)
            else:
                assert a.status == 200 and states.count('cancelled') == len(ids), (n, struck, a)
        assert said and max(said) > 0, said
    finally:
        world.d.close(check=False)


def test_a_used_up_cgroup_that_cannot_be_removed():
    """What is born into a cgroup that was killed once is killed at once (Linux 6.18), so a supervisor must not go on with that one."""
    found, numbers = campaign_call.errors(100, SEED, which=('EIO',), roles=('reused',), scenes=('leaving',), step=1, first=48)
    assert not found, f'seed {SEED}\n{show(found)}'
    assert numbers['EIO blows'] >= 3, numbers
