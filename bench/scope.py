"""scope.py: attempts in transient scopes, which need a systemd as PID 1: one is booted in a container over this very file system (an overlay whose
changes are in memory), with the measurements' own directory bound into it, so that databases stay on the disk. What is measured runs inside as a
service and talks to us through two FIFOs: a word per round, two numbers back."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import measure
from measure import Measurement, NotInstalled

IN_FLIGHT = 8           # more gains nothing from one manager


class Container:
    """A booted systemd; `leader` is its PID 1 as we see it."""

    def __init__(self, context):
        for program in ('systemd-nspawn', 'nsenter'):
            if not shutil.which(program):
                raise NotInstalled(program)
        self.root = tempfile.mkdtemp(prefix='jobbers-bench-', dir='/dev/shm')
        self.shared = context.scratch
        self.process = None
        try:
            self.boot(context)
        except Exception as e:
            self.close()
            raise NotInstalled(f'a container with systemd ({e})') from None

    def boot(self, context):
        subprocess.run(['mount', '-t', 'tmpfs', 'none', self.root], check=True)
        for name in ('upper', 'work', 'all'):
            os.mkdir(f'{self.root}/{name}')
        subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o', f'lowerdir=/,upperdir={self.root}/upper,workdir={self.root}/work', f'{self.root}/all'],
                       check=True)
        machine_id = f'{self.root}/all/etc/machine-id'
        if os.path.exists(machine_id):
            os.unlink(machine_id)
        with open(machine_id, 'w') as f:
            f.write(os.urandom(16).hex() + '\n')
        argv = ['systemd-nspawn', '--register=no', '--keep-unit', '--link-journal=no', '--private-network', '--console=pipe', f'--bind={context.scratch}',
                '-D', f'{self.root}/all', f'--machine=jobbers-bench-{os.getpid()}', '--boot', 'systemd.unit=basic.target']
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY='1'))
        deadline = time.monotonic() + 60
        while True:
            with open(f'/proc/{self.process.pid}/task/{self.process.pid}/children') as f:
                children = f.read().split()
            self.leader = children[-1] if children else None
            if self.leader and subprocess.run([*self.enter(), 'systemctl', 'is-active', '-q', 'basic.target'], stderr=subprocess.DEVNULL).returncode == 0:
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError('it does not boot')
            time.sleep(0.1)

    def enter(self):
        return ['nsenter', '-t', self.leader, '-m', '-u', '-i', '-n', '-p', '-C']

    def service(self, *argv):
        """A service in there; what we write to it and read from it. By the name that scopes say they come after: were there none, systemd would
        look for it with each. Whoever waited for its end (`systemd-run --wait`) would be told of every scope, too."""
        words, figures = self.fifo('words'), self.fifo('figures')
        to, back = os.open(words, os.O_RDWR), os.open(figures, os.O_RDONLY | os.O_NONBLOCK)
        environment = [f'--setenv={k}={os.environ[k]}' for k in ('JOBBERS_BUILD', 'JOBBERS_TEST_DIR') if k in os.environ]
        subprocess.run([*self.enter(), 'systemd-run', '--quiet', '--collect', '--service-type=exec', '--unit=jobbersd', '-p', 'Delegate=yes',
                        '-p', f'StandardInput=file:{words}', '-p', f'StandardOutput=file:{figures}',
                        '-p', f'StandardError=truncate:{self.shared}/errors', *environment, *argv], check=True)
        os.set_blocking(back, True)
        return os.fdopen(to, 'w'), os.fdopen(back)

    def fifo(self, name):
        path = os.path.join(self.shared, name)
        os.mkfifo(path)
        return path

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        subprocess.run(['umount', '-q', f'{self.root}/all'], stderr=subprocess.DEVNULL)
        subprocess.run(['umount', '-q', self.root], stderr=subprocess.DEVNULL)
        os.rmdir(self.root)


class InScopes(Measurement):
    unit = 'tasks/s'
    container = words = figures = None
    word = ''

    def setup(self):
        if not InScopes.container:
            InScopes.container = Container(self.c)
            for helper in ('scope-client', 'nothing'):
                self.c.helper(helper)
            InScopes.words, InScopes.figures = InScopes.container.service(
                '/usr/bin/python3', os.path.abspath(__file__), self.c.scratch, str(self.c.scale(1500, 300)))
            if self.answer() != 'ready\n':
                raise RuntimeError('the measurement inside the container did not start')

    def once(self):
        print(self.word, file=InScopes.words, flush=True)
        ours, limit = self.answer().split()
        return float(ours), float(limit)

    def answer(self):
        line = InScopes.figures.readline()
        if not line:
            with open(self.c.path('errors')) as f:
                raise RuntimeError(f'the measurement inside the container ended: {f.read()[-2000:]}')
        return line

    def close(self):
        if InScopes.words:
            InScopes.words.close()
            InScopes.figures.read()             # until it is gone
            InScopes.words = InScopes.figures = None
        if InScopes.container:
            InScopes.container.close()
            InScopes.container = None


class Scopes(InScopes):
    title = f'no-op tasks in scopes, {IN_FLIGHT} in flight'
    limit_name = 'bare scope client'
    floor, goal = 0.80, 0.90
    takes = 3
    word = 'client'


class SystemdRun(InScopes):
    """Ours are subprocesses in cgroups, as with every other peer."""
    title = 'tasks a second against systemd-run --wait'
    limit_name = f'systemd-run --wait, {IN_FLIGHT} at once'
    floor, goal = 8, 10
    word = 'run'


ALL = [Scopes, SystemdRun]


def inside():
    """The service in the container."""
    scratch, n = sys.argv[1], int(sys.argv[2])
    launchers = {'client': 'scope', 'run': 'subprocess'}
    print('ready', flush=True)
    for word in sys.stdin:
        word = word.strip()
        # A manager tells all who are connected to it of every scope, so each side is alone with it.
        d = measure.BenchDaemon('/bin/true', IN_FLIGHT, launcher=launchers[word])
        try:
            d.run_tasks(100)
            ours = d.run_tasks(n)
        finally:
            d.close(check=False)
        if word == 'client':
            limit = float(measure.output_of(f'{scratch}/scope-client', n, IN_FLIGHT, '/bin/true'))
        else:
            few = max(40, n // 10)
            begin = time.monotonic()
            subprocess.run(['xargs', f'-P{IN_FLIGHT}', '-n1', 'systemd-run', '--quiet', '--wait', '--collect'], input=b'/bin/true\n' * few, check=True)
            limit = few / (time.monotonic() - begin)
        print(ours, limit, flush=True)


if __name__ == '__main__':
    inside()
