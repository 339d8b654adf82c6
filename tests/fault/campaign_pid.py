"""campaign_pid.py: numbers of processes come round every few hundred forks, in a PID namespace of ours whose pid_max is tiny, while daemons and
supervisors are killed, tasks cancelled and strangers come and go. No stranger is ever signalled, and all promises hold.

pid_max belongs to the PID namespace since Linux 6.14; before that it is the host's, and this is not run."""
import os
import platform
import re
import signal
import subprocess
import threading
import time

from driver import World

PID_MAX = 450           # 300 are the least that the kernel takes; what is in use at once must fit above that


def missing():
    version = tuple(map(int, re.match(r'(\d+)\.(\d+)', platform.release()).groups()))
    if os.geteuid() != 0:
        return 'a PID namespace needs root'
    return None if version >= (6, 14) else 'pid_max belongs to the PID namespace since Linux 6.14 only'


class Strangers(threading.Thread):
    """Processes that are nobody's business. One that a signal ended was hit by us."""

    def __init__(self, r):
        super().__init__(daemon=True)
        self.random, self.enough, self.count, self.hit, self.pids = r, threading.Event(), 0, [], set()

    def run(self):
        alive = []
        while not self.enough.is_set():
            try:
                p = subprocess.Popen(['/bin/sleep', f'{self.random.uniform(0.01, 0.4):.3f}'], env={})
            except OSError:
                time.sleep(0.01)
            else:
                self.count += 1
                self.pids.add(p.pid)
                alive.append(p)
            time.sleep(0.004)
            if len(alive) > 25:
                self.reap(alive)
        while alive:
            self.reap(alive)
            time.sleep(0.01)

    def reap(self, alive):
        for p in [p for p in alive if p.poll() is not None]:
            alive.remove(p)
            if p.returncode < 0:
                self.hit.append((p.pid, signal.Signals(-p.returncode).name))


def be_init():
    """Goes on as a child; we stay to reap what loses its parent, and end as the child does."""
    child = os.fork()
    while child:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def reuse(n, seed):
    """n kills; (violations, numbers). In a PID namespace of our own (chaos sees to that)."""
    reason = missing()
    if reason:
        return {'the campaign itself': [reason]}, {}
    if os.getpid() > 50:
        return {'the campaign itself': ['not in a PID namespace of our own']}, {}
    if os.getpid() == 1:
        be_init()
    with open('/proc/sys/kernel/pid_max', 'w') as f:
        f.write(str(PID_MAX))
    world = World(seed, slots=8)
    strangers = Strangers(world.random)
    try:
        strangers.start()
        world.load(2, pause=0.06)       # no more than eight slots get done within the minute after the last fault
        for k in range(n):
            time.sleep(world.random.uniform(0.02, 0.3))
            if world.kill(world.random.choice((('daemon',), ('supervisor',), ('supervisor',), ('daemon', 'supervisor')))):
                world.d.start()
    except AssertionError as e:
        world.problems.append(str(e)[-3000:])
    strangers.enough.set()
    strangers.join(30)
    for pid, name in strangers.hit:
        world.problems.append(f'process {pid}, a stranger, got {name}')
    found, numbers = world.finish()
    numbers.update(strangers=strangers.count, **{'pids of them': len(strangers.pids)})
    if len(strangers.pids) > PID_MAX or strangers.count < 2 * len(strangers.pids) and n >= 40:
        found.setdefault('the campaign itself', []).append(f'numbers hardly came round: {strangers.count} strangers, {len(strangers.pids)} pids')
    return found, numbers
