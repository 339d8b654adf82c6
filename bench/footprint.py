"""footprint.py: what the daemon and its launcher weigh, at rest and at work, and how often they wake when there is nothing to do. These are
figures against a bound, not against a limit."""
import glob
import os
import select
import time

from measure import BenchDaemon, Measurement


def pss(pid):
    """KiB of memory that is this process's, shared pages by their share."""
    with open(f'/proc/{pid}/smaps_rollup') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('Pss:'))


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as f:
        return [int(p) for p in f.read().split()]


def switches(pid):
    total = 0
    for path in glob.glob(f'/proc/{pid}/task/*/status'):
        with open(path) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith(('voluntary_ctxt', 'nonvoluntary_ctxt')))
    return total


def daemon_and_launcher(d):
    return [d.process.pid, d.launcher_pid()]


class Footprint(Measurement):
    better = 'less'
    limit_name = 'bound'


class Idle(Footprint):
    title = 'memory of daemon and launcher, idle (PSS)'
    unit = 'MiB'
    floor, goal = 20, 12

    def once(self):
        d = BenchDaemon()
        value = sum(pss(p) for p in daemon_and_launcher(d)) / 1024
        d.close(check=False)
        return value, None


def running(n):
    """A daemon with n tasks that do nothing but run."""
    d = BenchDaemon(slots=n)
    d.define('hold', 'echo >@BOX@; exec sleep 100000', MaxConcurrent='infinity')
    d.post('/reload')
    for _ in range(n):
        d.post('/submit-task', {'name': 'hold', 'version': 1})
    for _ in range(n):
        d.box.line(patience=120)
    return d


class Loaded(Footprint):
    """A million queued and 64 running: what is queued must not be in memory."""
    title = 'the same with 10⁶ tasks queued and 64 running'
    unit = 'MiB'
    floor, goal = 40, 24
    runs = 1

    def setup(self):
        self.d = running(64)
        body = {'tasks': [{'name': 'noop', 'version': 1, 'parameters': {'n': 1}}] * 1000}
        for _ in range(self.c.scale(1000, 100)):
            self.d.post('/submit-tasks', body)
        if self.c.quick:
            self.title = self.title.replace('10⁶', '10⁵')

    def once(self):
        return sum(pss(p) for p in daemon_and_launcher(self.d)) / 1024, None

    def close(self):
        self.d.close(check=False)


class PerAttempt(Footprint):
    """With 64 running: their supervisors, which are all of ours that attempts add."""
    title = 'memory of a running attempt beyond the task (PSS of its supervisor)'
    unit = 'KiB'
    floor, goal = 800, 300
    runs = 1

    def once(self):
        d = running(64)
        supervisors = children(d.launcher_pid())
        value = sum(pss(p) for p in supervisors) / len(supervisors)
        d.close(check=False)
        return value, None


class WakeUps(Footprint):
    title = 'wake-ups of daemon and launcher in 60 idle seconds'
    unit = ''
    floor, goal = 6, 0
    runs = 1
    slow = True

    def once(self):
        d = BenchDaemon()
        d.run_tasks(50)
        d.forget_connection()           # or its end, a minute later, is one
        time.sleep(16)                  # what the last tasks left (idle supervisors, timers of retention) has gone
        pids = daemon_and_launcher(d)
        before = [switches(p) for p in pids]
        select.select([], [], [], 60)
        value = sum(switches(p) for p in pids) - sum(before)
        d.close(check=False)
        return value, None


ALL = [Idle, WakeUps, Loaded, PerAttempt]
