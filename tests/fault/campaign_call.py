"""campaign_call.py: a blow at every system call that the daemon, the launcher and a supervisor make on the way of tasks from their submission to
their end: kill -9 before it, or an error instead of it (strike.c)."""
import os
import select
import signal
import subprocess

from driver import BUILD, World, boot

STRIKE = os.path.join(BUILD, 'tests', 'fault', 'strike')
PATIENCE = 30
ROLES = ('daemon', 'launcher', 'supervisor')
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
            # after its start, so that the kill sequence is on the way too
            for _ in range(100):
                if world.d.ask('GET', f'/task-status/{task_id}').json['started_at']:
                    break
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


def at_every(n_max, seed, how, roles=ROLES, scenes=SCENES, step=1, error=None):
    """For each role and scene a blow at calls 1, 1 + step, …, until one is past the last; at most n_max blows in all."""
    everything, totals, blows, past = {}, {}, 0, 0
    for role in roles:
        for scene in scenes:
            if blows >= n_max:
                break
            world = World(f'{seed}.{role}.{scene}.{error}')
            reached = 0
            try:
                offset = world.random.randrange(step)
                while blows < n_max:
                    n = 1 + offset + reached * step
                    pid = world.pid() if role == 'daemon' else world.d.launcher_pid()
                    world.fault('error' if error else role)
                    strike = Strike(how, n, pid, role == 'supervisor')
                    ids = scene_play(world, scene)
                    watch(world, ids)
                    if not daemon_is_gone(world) and scene == 'short':
                        # what goes on after the end: records that are forgotten
                        watch(world, world.submit('short'))
                    struck = strike.end()
                    if role in ('daemon', 'launcher') and struck and not error:
                        world.d.reap()
                    elif daemon_is_gone(world):
                        world.d.reap()
                        allowed = MAY_END.get(error, ())
                        if allowed is not None and struck not in allowed:
                            world.problems.append(f'{role}, {scene}: {error} from call {n} ({struck}) ended the daemon: {world.d.log()[-600:]}')
                        totals['ended itself'] = totals.get('ended itself', 0) + 1
                    if world.d.process is None:
                        world.d.start()
                    watch(world, ids)
                    reached += 1
                    if struck is None:
                        past += 1
                        break
                    blows += 1
            except AssertionError as e:
                world.problems.append(f'{role}, {scene}, call {1 + offset + reached * step}: {str(e)[-3000:]}')
            found, numbers = world.finish()
            totals[f'{role} {scene}'] = reached
            for name, sentences in found.items():
                everything.setdefault(name, []).extend(f'[{role} {scene}] {s}' for s in sentences)
            for name, value in numbers.items():
                if name in ('tasks', 'starts', 'host-lost'):
                    totals[name] = totals.get(name, 0) + value
    totals['blows'] = blows
    return everything, totals


def kills(n, seed, **more):
    return at_every(n, seed, ['-k'], **more)


def errors(n, seed, which=ERRORS, **more):
    everything, totals = {}, {}
    for name in which:
        found, numbers = at_every(n, seed, ['-e', name], error=name, **more)
        for k, v in found.items():
            everything.setdefault(k, []).extend(f'{name} {s}' for s in v)
        for k, v in numbers.items():
            totals[f'{name} {k}' if k == 'blows' else k] = totals.get(k, 0) + v
    return everything, totals
