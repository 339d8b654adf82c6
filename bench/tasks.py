"""tasks.py: no-op tasks end to end: durable submission, a process in a cgroup of its own, the recorded result. Beside a bare posix_spawn() loop
with as many in flight, which is what the machine can do at all."""
import os
import subprocess
import time

from measure import SLOTS, BenchDaemon, Measurement, NotInstalled, raw_spawn


class NoopTasks(Measurement):
    unit = 'tasks/s'
    limit_name = 'posix_spawn() loop'
    in_flight = SLOTS
    program = '/bin/true'

    def __init__(self, context):
        super().__init__(context)
        self.n = context.scale(3000, 600)

    def setup(self):
        self.daemon = BenchDaemon(self.program_path(), self.in_flight)
        self.daemon.run_tasks(200)      # caches and pools get their size

    def program_path(self):
        return self.program

    def once(self):
        limit = raw_spawn(self.c, self.n, self.in_flight, self.program_path())
        return self.daemon.run_tasks(self.n), limit

    def close(self):
        self.daemon.close(check=False)


class Default(NoopTasks):
    title = f'no-op tasks end to end, {SLOTS} in flight (the default of slots)'
    floor, goal = 0.60, 0.75
    takes = 3


class Two(NoopTasks):
    title = 'the same, 2 in flight'
    in_flight = 2


class Many(NoopTasks):
    title = 'the same, 16 in flight'
    in_flight = 16


class Static(NoopTasks):
    title = f'the same of a minimal static executable, {SLOTS} in flight'
    floor, goal = 0.30, 0.50

    def program_path(self):
        return self.c.helper('nothing')


class Xargs(Measurement):
    """Not a queue: nothing is durable, nothing recorded. The goal is to be faster all the same."""
    title = f'xargs -P{SLOTS} (nothing durable, no result)'
    unit = 'tasks/s'
    limit_name = 'posix_spawn() loop'

    def once(self):
        n = self.c.scale(3000, 600)
        limit = raw_spawn(self.c, n, SLOTS, '/bin/true')
        begin = time.monotonic()
        subprocess.run(['xargs', f'-P{SLOTS}', '-n1', '/bin/true'], input=b'x\n' * n, check=True)
        return n / (time.monotonic() - begin), limit


class Group:
    """A cgroup of our own around what is started inside, for what it costs in CPU time: that hardly depends on what else the machine does."""

    def __init__(self, name):
        mount = next((line.split()[1] for line in open('/proc/self/mounts') if line.split()[2] == 'cgroup2'), None)
        own = open('/proc/self/cgroup').read().rsplit('0::', 1)[1].strip()
        self.home = f'{mount}{own}'
        self.path = f'{self.home}/{name}-{os.getpid()}'
        try:
            os.mkdir(self.path)
        except OSError:
            raise NotInstalled('a cgroup v2 that may be written to') from None

    def __enter__(self):
        self.move(self.path)

    def __exit__(self, *_):
        self.move(self.home)

    @staticmethod
    def move(path):
        with open(path + '/cgroup.procs', 'w') as f:
            f.write(str(os.getpid()))

    def used(self):
        with open(self.path + '/cpu.stat') as f:
            return int(next(line.split()[1] for line in f if line.startswith('usage_usec')))

    def close(self):
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.02)


class Cpu(Measurement):
    """All processes of the daemon and its tasks, submission included, over the loop and its processes."""
    title = 'CPU time of a no-op task, all processes, 8 in flight'
    unit = 'µs'
    limit_name = 'posix_spawn() loop'
    better = 'less'
    program = '/bin/true'

    def setup(self):
        self.n = self.c.scale(1500, 400)
        self.groups = [Group(f'bench-{type(self).__name__}'), Group(f'bench-{type(self).__name__}-raw')]
        with self.groups[0]:
            self.daemon = BenchDaemon(self.program_path(), 8)
        self.daemon.run_tasks(200)

    def program_path(self):
        return self.program

    def once(self):
        ours, raw = (g.used() for g in self.groups)
        with self.groups[1]:
            p = subprocess.Popen([self.c.helper('raw-spawn'), '-n', str(self.n), '-k', '8', self.program_path()], stdout=subprocess.DEVNULL)
        p.wait()
        raw = self.groups[1].used() - raw
        self.daemon.run_tasks(self.n)
        return (self.groups[0].used() - ours) / self.n, raw / self.n

    def close(self):
        if hasattr(self, 'daemon'):
            self.daemon.close(check=False)
        for g in getattr(self, 'groups', []):
            g.close()


class CpuStatic(Cpu):
    title = 'the same of a minimal static executable'

    def program_path(self):
        return self.c.helper('nothing')


ALL = [Default, Two, Many, Static, Xargs, Cpu, CpuStatic]
