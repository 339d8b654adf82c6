"""campaign_call.py: a blow at every system call that the daemon, the launcher and a supervisor make on the way of tasks from their submission to
their end: kill -9 before it, or an error instead of it (strike.c)."""
import os
import select
import signal
import subprocess
import sys

from driver import BUILD, World, boot, until

STRIKE = os.path.join(BUILD, 'tests', 'fault', 'strike')
PATIENCE = 30
ROLES = ('daemon', 'launcher', 'supervisor', 'reused')          # reused: a supervisor that takes its second attempt
ERRORS = ('ENOSPC', 'EIO', 'EMFILE', 'ENOMEM')
# What is on its way while the blow falls. The supervisor is struck in the first attempt of it.
SCENES = ('short', 'flaky', 'later', 'leaving', 'cancelled')
# Reading and writing the state may end a daemon that then does not know what is on disk (SPEC 9); nothing else may.
MAY_END = {'EIO': None, 'ENOSPC': ('fsync', 'fdatasync')}


class Strike:
    """strike on a running process; `poll` tells what it has struck, once."""

    def __init__(self, how, n, pid, children=False):
        argv = [STRIKE, *how, '-n', str(n)] + (['-c'] if children else []) + ['-p', str(pid)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.buffer = b''
        self.struck = None
        assert self.line() == 'ready', self.process.stderr.read()

    def line(self):
        while b'\n' not in self.buffer:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], 'strike says nothing'
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                return ''
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.decode()

    def end(self):
        """What was struck, None when the target never came to its Nth call."""
        self.process.send_signal(signal.SIGTERM)
        while line := self.line():
            word, what = line.split(' ', 1)
            if word == 'struck':
                self.struck = what
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()
        return self.struck


def scene_play(world, scene):
    """One submission, whatever becomes of it; the ids that were acknowledged."""
    if scene != 'cancelled':
        return world.submit(scene)
    ids = world.submit('long')
    for task_id in ids:
        t0 = boot()
        try:
            # after its start, so that the kill sequence is on the way too; its lane may wait for a second after the last blow
            until(lambda: daemon_is_gone(world) or world.d.ask('GET', f'/task-status/{task_id}').json['status'] != 'submitted', 'it starts', 5)
            a = world.d.ask('POST', f'/task/{task_id}/cancel')
            world.history.add('cancel', t0, id=task_id, answer='acknowledged' if a.status == 200 else 'refused' if a.status != 503 else 'unknown')
        except Exception:
            world.d.forget_connection()
            world.history.add('cancel', t0, id=task_id, answer='unknown')
    return ids


def daemon_is_gone(world):
    return world.d.process is not None and select.select([world.d.pidfd], [], [], 0)[0]


def watch(world, ids):
    """Until all of them are final or the daemon has ended. False: neither in time."""
    for task_id in ids:
        while not daemon_is_gone(world):
            try:
                a = world.d.ask('GET', f'/task-status/{task_id}', wait=3)
            except Exception:
                world.d.forget_connection()
                if select.select([world.d.pidfd], [], [], 0.2)[0]:
                    return
                continue
            if a.status == 200 and a.json['completed_at']:
                world.history.add('seen', id=task_id, status=a.json['status'])
                break
            if a.status == 404:
                world.problems.append(f'{task_id} was acknowledged and is unknown')
                break


def target(world, role):
    """(pid to attach to, whether its next child is meant)"""
    if role == 'daemon':
        return world.pid(), False
    if role == 'reused':
        watch(world, world.submit('short'))
        idle = world.supervisors()
        assert idle, 'no supervisor waits for another attempt'
        return idle[0], False
    # none that waits must take what is meant for the launcher, or for a new one
    for pid in world.supervisors():
        os.kill(pid, signal.SIGKILL)
        world.fault('supervisor')
    until(lambda: not world.supervisors(), 'those that waited are gone')
    return world.d.launcher_pid(), role == 'supervisor'


def ended_itself(world, error, struck, where):
    """The daemon has ended, and nobody killed it."""
    world.d.reap()
    allowed = MAY_END.get(error, ())
    if allowed is not None and struck not in allowed:
        world.problems.append(f'{where}: {error} from {struck} ended the daemon: {world.d.log()[-600:]}')
    if os.environ.get('JOBBERS_FAULT_TALK'):
        print(f'{where}: {error} from {struck} ended the daemon: {world.d.log()[-300:]}', file=sys.stderr)
    world.numbers['ended itself'] = world.numbers.get('ended itself', 0) + 1


def blow(world, role, scene, how, n, error):
    """One scene with a blow at the nth call of the role in it; what was struck, None when there was no nth call."""
    strike, where = None, f'{role}, {scene}, call {n}'
    while strike is None:
        pid, child = target(world, role)
        try:
            strike = Strike(how, n, pid, child)
        except AssertionError:
            # the last blow may take effect only now
            if not error or not select.select([world.d.pidfd], [], [], 2)[0]:
                raise
            ended_itself(world, error, world.last_struck, where)
            world.d.start()
    world.fault('error' if error else 'supervisor' if role == 'reused' else role)
    ids = scene_play(world, scene)
    watch(world, ids)
    if not daemon_is_gone(world) and scene == 'short':
        # what goes on after the end: records that are forgotten
        ids += world.submit('short')
        watch(world, ids)
    struck = world.last_struck = strike.end()
    if role in ('daemon', 'launcher') and struck and not error:
        world.d.reap()
    elif daemon_is_gone(world):
        ended_itself(world, error, struck, where)
    if world.d.process is None:
        world.d.start()
    watch(world, ids)
    return struck


def at_every(n_max, seed, how, roles=ROLES, scenes=SCENES, step=1, error=None, first=1):
    """For each role and scene a blow at calls 1, 1 + step, …, until one is past the last; at most n_max blows in all."""
    everything, totals, blows, past = {}, {}, 0, 0
    for role in roles:
        for scene in scenes:
            if blows >= n_max:
                break
            world = World(f'{seed}.{role}.{scene}.{error}')
            reached, offset = 0, world.random.randrange(step)
            try:
                while blows < n_max:
                    n = first + offset + reached * step
                    struck = blow(world, role, scene, how, n, error)
                    if struck is None:
                        past += 1
                        break
                    reached += 1
                    blows += 1
                if daemon_is_gone(world):
                    ended_itself(world, error, struck, f'{role}, {scene}, call {n}')
                    world.d.start()
                if error:
                    # a file that could not be removed is looked for at the next start
                    world.kill(('daemon',))
                    world.d.start()
            except AssertionError as e:
                world.problems.append(f'{role}, {scene}, call {n}: {str(e)[-3000:]}')
            found, numbers = world.finish()
            totals[f'{role} {scene}'] = reached
            for name, sentences in found.items():
                everything.setdefault(name, []).extend(f'[{role} {scene}] {s}' for s in sentences)
            for name, value in numbers.items():
                if name in ('tasks', 'starts', 'host-lost', 'ended itself'):
                    totals[name] = totals.get(name, 0) + value
    totals['blows'] = blows
    return everything, totals


def at_every_start(n_max, seed, step=1):
    """kill -9 at every call of a daemon's start, which finds a task that runs and one that has ended."""
    world, blows, ready = World(f'{seed}.start'), 0, False
    try:
        offset = world.random.randrange(step)
        while blows < n_max and not ready:
            ids = world.submit('long') + world.submit('later')
            world.kill(('daemon',))
            argv, world.d.command = world.d.command(), None
            world.d.command = lambda: [STRIKE, '-k', '-n', str(1 + offset + blows * step), '--', *argv]
            world.d.spawn()
            del world.d.command
            # it is strike's child: READY=1 comes all the same when the blow did not
            ready = world.d.notifications.wait('READY=1', world.d.pidfd) is not None
            if ready:
                kill_children_of(world.pid())           # one, unless the blow came a moment later
            world.d.reap()
            blows += not ready
            world.d.start()
            watch(world, ids)
    except AssertionError as e:
        world.problems.append(f'call {1 + offset + blows * step} of a start: {str(e)[-3000:]}')
    found, numbers = world.finish()
    return found, {'blows': blows, **numbers}


def kill_children_of(pid):
    try:
        for child in open(f'/proc/{pid}/task/{pid}/children').read().split():
            os.kill(int(child), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass


def kills(n, seed, **more):
    return at_every(n, seed, ['-k'], **more)


def kills_of_daemon(n, seed):
    return kills(n, seed, roles=('daemon',), scenes=('short',))


def enospc(n, seed):
    return errors(n, seed, ('ENOSPC',))


def eio(n, seed):
    return errors(n, seed, ('EIO',))


def emfile(n, seed):
    return errors(n, seed, ('EMFILE',))


def enomem(n, seed):
    return errors(n, seed, ('ENOMEM',))


def errors(n, seed, which=ERRORS, **more):
    everything, totals = {}, {}
    for name in which:
        found, numbers = at_every(n, seed, ['-e', name], error=name, **more)
        for k, v in found.items():
            everything.setdefault(k, []).extend(f'{name} {s}' for s in v)
        for k, v in numbers.items():
            totals[f'{name} {k}' if k == 'blows' else k] = totals.get(k, 0) + v
    return everything, totals
