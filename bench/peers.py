"""peers.py: other queues on the same machine in the same run, each brought to do the same: N no-op jobs, SLOTS at once, each of them a process,
from the first submission to the last end. Peers that do less than jobbers (nothing durable, no result kept) say so in their titles.

Ratios are ours over theirs. What is not installed is a line in the table: packaging/deps bench."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from measure import SLOTS, BenchDaemon, Measurement, NotInstalled


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise NotInstalled(p)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def until(condition, patience=60):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError('a peer does not answer')
        time.sleep(0.002)


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


class Peer(Measurement):
    unit = 'tasks/s'
    n = 1000

    def __init__(self, context):
        super().__init__(context)
        self.limit_name = self.name
        self.title = f'tasks a second against {self.name}'
        self.n = context.scale(type(self).n, max(50, type(self).n // 4))
        self.servers = []

    def server(self, *argv, port=None, **kw):
        p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
        self.servers.append(p)
        if port:
            until(lambda: answers(port))
        return p

    def setup(self):
        self.begin()
        self.daemon = BenchDaemon(environment=self.environment())
        self.daemon.run_tasks(200)

    def once(self):
        peer = self.peer()
        return self.daemon.run_tasks(self.c.scale(2000, 500)), peer

    def close(self):
        if hasattr(self, 'daemon'):
            self.daemon.close(check=False)
        self.end()
        for p in self.servers:
            p.terminate()
        for p in self.servers:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def environment(self):
        """Of both sides, besides what is theirs."""
        return {}

    def begin(self):
        """Starts what the peer needs; NotInstalled."""

    def peer(self):
        """Tasks a second."""
        raise NotImplementedError

    def end(self):
        pass


class Xargs(Peer):
    name = 'xargs -P (nothing durable)'
    floor, goal = None, 1.0

    def peer(self):
        begin = time.monotonic()
        subprocess.run(['xargs', f'-P{SLOTS}', '-n1', '/bin/true'], input=b'x\n' * self.n, check=True)
        return self.n / (time.monotonic() - begin)


class Parallel(Peer):
    name = 'GNU parallel --joblog'
    n = 400

    def begin(self):
        need('parallel')

    def peer(self):
        begin = time.monotonic()
        env = dict(os.environ, HOME=self.c.scratch)
        subprocess.run(['parallel', '--will-cite', f'-j{SLOTS}', '--joblog', self.c.path('joblog'), '/bin/true', ':::'] + ['x'] * self.n, check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        return self.n / (time.monotonic() - begin)


class TaskSpooler(Peer):
    name = 'task-spooler'
    n = 800
    floor, goal = 1.8, 2.0
    takes = 3

    def begin(self):
        need('tsp')
        self.env = dict(os.environ, TS_SOCKET=self.c.path('tsp'), TS_MAXFINISHED='100', TMPDIR=self.c.scratch)
        subprocess.run(['tsp', '-S', str(SLOTS)], check=True, env=self.env, stdout=subprocess.DEVNULL)

    def peer(self):
        begin = time.monotonic()
        submit = f'i=0; while [ $i -lt {self.n} ]; do tsp -n /bin/true >/dev/null; i=$((i+1)); done; tsp -w'
        subprocess.run(['sh', '-c', submit], check=True, env=self.env, stdout=subprocess.DEVNULL)
        return self.n / (time.monotonic() - begin)

    def end(self):
        if hasattr(self, 'env'):
            subprocess.run(['tsp', '-K'], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Nq(Peer):
    """A queue runs one job at a time: SLOTS queues."""
    name = 'nq'
    n = 400

    def begin(self):
        need('nq', 'fq')

    def peer(self):
        queues = [self.c.path(f'nq{i}') for i in range(SLOTS)]
        begin = time.monotonic()
        script = f'i=0; while [ $i -lt {self.n // SLOTS} ]; do nq -c /bin/true >/dev/null; i=$((i+1)); done; nq -w'
        running = [subprocess.Popen(['sh', '-c', script], env=dict(os.environ, NQDIR=q), stdout=subprocess.DEVNULL) for q in queues]
        for p in running:
            p.wait()
        rate = self.n / (time.monotonic() - begin)
        for q in queues:
            shutil.rmtree(q, ignore_errors=True)
        return rate


class Beanstalkd(Peer):
    name = 'beanstalkd with fsync (no result kept)'
    n = 2000
    floor, goal = 1.0, 1.3
    takes = 3

    def begin(self):
        need('beanstalkd')
        self.port = free_port()
        log = self.c.path(f'binlog-{self.port}')
        os.makedirs(log)
        self.server('beanstalkd', '-l', '127.0.0.1', '-p', self.port, '-b', log, '-f', '0', port=self.port, env=dict(os.environ, **self.environment()))

    def peer(self):
        tool = self.c.helper('peer-beanstalk')
        begin = time.monotonic()
        worker = subprocess.Popen([tool, str(self.port), 'work', str(self.n), str(SLOTS), '/bin/true'])
        subprocess.run([tool, str(self.port), 'put', str(self.n)], check=True)
        worker.wait()
        return self.n / (time.monotonic() - begin)


class SlowBeanstalkd(Beanstalkd):
    """Both sides wait this much longer for the disk at each flush."""
    name = 'beanstalkd with fsync, each flush 120 µs slower'
    floor = goal = None

    def environment(self):
        return {'LD_PRELOAD': self.c.helper('slow-flush.so'), 'FLUSH_DELAY': '120'}


class Gearmand(Peer):
    name = 'gearmand, built-in queue (nothing durable)'
    n = 1500

    def begin(self):
        need('gearmand', 'gearman')
        self.port = free_port()
        self.server('gearmand', '-L', '127.0.0.1', '-p', self.port, '-l', 'stderr', port=self.port)
        for _ in range(SLOTS):
            self.server('gearman', '-h', '127.0.0.1', '-p', self.port, '-w', '-f', 'noop', '--', '/bin/true')

    def waiting(self):
        with socket.create_connection(('127.0.0.1', self.port)) as s:
            s.sendall(b'status\n')
            text = b''
            while not text.endswith(b'.\n'):
                text += s.recv(4096)
        m = re.search(rb'^noop\t(\d+)', text, re.M)
        return int(m.group(1)) if m else 0

    def peer(self):
        begin = time.monotonic()
        subprocess.run(['gearman', '-h', '127.0.0.1', '-p', str(self.port), '-b', '-n', '-f', 'noop'], input=b'x\n' * self.n, check=True,
                       stdout=subprocess.DEVNULL)
        until(lambda: self.waiting() == 0, 300)
        return self.n / (time.monotonic() - begin)


def redis(peer):
    need('redis-server')
    port = free_port()
    directory = peer.c.path(f'redis-{port}')
    os.makedirs(directory)
    peer.server('redis-server', '--port', port, '--bind', '127.0.0.1', '--dir', directory, '--appendonly', 'yes', '--appendfsync', 'always',
                '--save', '', port=port)
    return port


class Celery(Peer):
    name = 'Celery + Redis, AOF always'
    n = 400
    floor, goal = 2.5, 3.5

    def begin(self):
        try:
            subprocess.run(['/usr/bin/python3', '-c', 'import celery, redis'], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            raise NotInstalled('celery, python3-redis') from None
        self.port = redis(self)
        shutil.copy(os.path.join(os.path.dirname(__file__), 'peer_celery.py'), self.c.scratch)
        self.env = dict(os.environ, PEER_REDIS=f'redis://127.0.0.1:{self.port}/0', PYTHONPATH=self.c.scratch, C_FORCE_ROOT='1')
        self.server('/usr/bin/python3', '-m', 'celery', '-A', 'peer_celery', 'worker', f'-c{SLOTS}', '-l', 'ERROR', '--without-gossip',
                    '--without-mingle', '--without-heartbeat', env=self.env, cwd=self.c.scratch)
        self.run(10)

    def run(self, n):
        out = subprocess.run(['/usr/bin/python3', 'peer_celery.py', str(n)], check=True, env=self.env, cwd=self.c.scratch, stdout=subprocess.PIPE,
                             timeout=300)
        return float(out.stdout)

    def peer(self):
        return self.run(self.n)


class BullMQ(Peer):
    name = 'BullMQ + Redis, AOF always'
    n = 600
    floor, goal = 2.5, 3.5

    def begin(self):
        need('node')
        modules = os.environ.get('BENCH_NODE_MODULES', os.path.expanduser('~/.cache/jobbers-bench/node_modules'))
        if not os.path.isdir(os.path.join(modules, 'bullmq')):
            raise NotInstalled(f'npm install --prefix {os.path.dirname(modules)} bullmq ioredis')
        self.port = redis(self)
        self.env = dict(os.environ, PEER_PORT=str(self.port), PEER_SLOTS=str(SLOTS), PEER_BULLMQ=os.path.join(modules, 'bullmq'))

    def peer(self):
        out = subprocess.run(['node', os.path.join(os.path.dirname(os.path.abspath(__file__)), 'peer-bullmq.js'), str(self.n)], check=True, env=self.env,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=90)
        return float(out.stdout)


ALL = [Xargs, Parallel, TaskSpooler, Nq, Beanstalkd, SlowBeanstalkd, Gearmand, Celery, BullMQ]
