"""submissions.py: what it costs to be told of a task and to have it on disk: one by one over HTTP, and a thousand at a time."""
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from measure import TREE, BenchDaemon, Measurement, NotInstalled, output_of

CONNECTIONS = 32
SCRIPT = '''wrk.method = "POST"
wrk.body = '{"name": "noop", "version": 1, "parameters": {}}'
wrk.headers["Content-Type"] = "application/json"
%s
'''


def wrk(context, port, headers=''):
    if not shutil.which('wrk'):
        raise NotInstalled('wrk')
    script = context.path('submit.lua')
    with open(script, 'w') as f:
        f.write(SCRIPT % headers)
    seconds = context.scale(3, 2)
    text = output_of('wrk', '-t1', f'-c{CONNECTIONS}', f'-d{seconds}s', '-s', script, f'http://127.0.0.1:{port}/submit-task').decode()
    if re.search(r'Non-2xx', text):
        raise RuntimeError(f'submissions were refused:\n{text}')
    return float(re.search(r'Requests/sec:\s+([\d.]+)', text).group(1))


class OneByOne(Measurement):
    title = f'durable submissions over HTTP, {CONNECTIONS} keep-alive connections'
    unit = 'requests/s'
    limit_name = 'libmicrohttpd, no store'
    floor, goal = 0.35, 0.50

    def setup(self):
        self.daemon = BenchDaemon()
        self.daemon.drain(True)
        self.server = subprocess.Popen([self.c.helper('bare-http')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.server.stdout.readline())
        self.headers = f'wrk.headers["Authorization"] = "Bearer {self.daemon.token}"'

    def once(self):
        limit = wrk(self.c, self.port)
        return wrk(self.c, self.daemon.port, self.headers), limit

    def close(self):
        self.daemon.close(check=False)
        self.server.stdin.close()
        self.server.wait()


class Bulk(Measurement):
    """The bodies are made before the clock starts: what a client needs for that is not ours."""
    title = 'bulk submission, 1,000 at a time'
    unit = 'tasks/s'
    limit_name = 'SQLite inserts of the same rows, 1,000 a transaction'
    mode = 'rows'
    floor, goal = 0.25, 0.50

    def setup(self):
        self.n = self.c.scale(100000, 30000)
        self.daemon = BenchDaemon()
        self.daemon.drain(True)
        self.body = json.dumps({'tasks': [{'name': 'noop', 'version': 1, 'parameters': {}}] * 1000}).encode()

    def once(self):
        directory = tempfile.mkdtemp(dir=self.c.scratch)
        limit = float(output_of(self.c.helper('bare-store'), directory, self.mode, self.n, 1000, cwd=TREE))
        shutil.rmtree(directory)
        c = self.daemon.connection()
        begin = time.monotonic()
        for _ in range(self.n // 1000):
            c.request('POST', '/submit-tasks', self.body, {'Content-Type': 'application/json'})
            answer = c.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f'a bulk submission was answered {answer.status}')
        seconds = time.monotonic() - begin
        c.close()
        return self.n / seconds, limit

    def close(self):
        self.daemon.close(check=False)


class BulkPlain(Bulk):
    """A row that nobody could find again by its id: what the indexes cost as well."""
    title = 'the same beside inserts into a table without an index'
    limit_name = 'SQLite inserts into a plain table'
    mode = 'bulk'
    floor = goal = None


class Latency(Measurement):
    """One task at a time on an idle daemon: POST /submit-task, then ?wait until it is final."""
    title = 'idle latency, submission to final result'
    unit = 'µs'
    limit_name = 'commit, spawn, commit'
    better = 'less'
    floor, goal = 1.9, 1.3

    def setup(self):
        self.n = self.c.scale(200, 60)
        self.daemon = BenchDaemon()
        self.once()

    def once(self):
        directory = tempfile.mkdtemp(dir=self.c.scratch)
        limit = float(output_of(self.c.helper('bare-store'), directory, 'latency', self.n, '/bin/true'))
        shutil.rmtree(directory)
        ours = float(output_of(self.c.helper('http-latency'), self.daemon.path('s'), self.n))
        return ours, limit

    def close(self):
        self.daemon.close(check=False)


LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'


def ulid():
    n = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), 'big')
    return ''.join(LETTERS[n >> 5 * i & 31] for i in range(25, -1, -1))


class Command(Measurement):
    """`jobbersctl run`, which also shows the task's log, beside a program that is started as well, makes the two requests over one connection,
    and ends."""
    title = 'jobbersctl run of a no-op task'
    unit = 'ms'
    limit_name = 'curl: submit, then ?wait'
    better = 'less'
    floor = 2.0

    def setup(self):
        self.daemon = BenchDaemon()
        self.environment = {**os.environ, 'JOBBERS_SOCKET': self.daemon.path('s')}
        self.jobbersctl()

    def jobbersctl(self):
        subprocess.run([os.path.join(self.c.build, 'jobbersctl'), 'run', 'noop'], check=True, stdout=subprocess.DEVNULL, env=self.environment)

    def curl(self):
        task = ulid()
        common = ['-sS', '-f', '-o', '/dev/null', '--unix-socket', self.daemon.path('s')]
        subprocess.run(['curl', *common, '-H', 'Content-Type: application/json', '-d', json.dumps({'id': task, 'name': 'noop', 'version': 1}),
                        'http://localhost/submit-task', '--next', *common, f'http://localhost/task-status/{task}?wait=60'], check=True)

    def once(self):
        times = {self.jobbersctl: [], self.curl: []}
        for _ in range(self.c.scale(30, 10)):
            for client, t in times.items():
                begin = time.perf_counter()
                client()
                t.append((time.perf_counter() - begin) * 1e3)
        return statistics.median(times[self.jobbersctl]), statistics.median(times[self.curl])

    def close(self):
        self.daemon.close(check=False)


ALL = [OneByOne, Bulk, BulkPlain, Latency, Command]
