"""A real jobbersd for tests: started in a directory of its own, awaited by sd_notify, talked to over its Unix socket, and held to
its promises at the end (status 0, nothing left behind).

Waiting is for events: READY=1, lines that tasks write into a FIFO ("box"), ?wait= of /task-status. `until` is for the few facts that
nobody announces.
"""
import atexit
import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get('JOBBERS_BUILD', os.path.join(TREE, 'build')))
FINAL = ('completed', 'failed', 'cancelled', 'stalled', 'dropped')
ORDINARY_UID = 65534


def programs_dir():
    """Where the programs are run from: BUILD, or a copy when that lies where ordinary users cannot go (a checkout below /root)."""
    path = BUILD
    while path != '/':
        if not os.stat(path).st_mode & 0o001:
            copy = tempfile.mkdtemp(prefix='jobbers-programs-')
            atexit.register(shutil.rmtree, copy, True)
            os.chmod(copy, 0o755)
            for name in ('jobbersd', 'jobbers-run', 'jobbersctl'):
                shutil.copy(os.path.join(BUILD, name), copy)
            return copy
        path = os.path.dirname(path)
    return BUILD


PROGRAMS = programs_dir() if os.geteuid() == 0 else BUILD
PATIENCE = float(os.environ.get('JOBBERS_TEST_PATIENCE', '20'))


def until(condition, what, patience=PATIENCE):
    """For what nobody announces; returns the first true value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f'waited {patience} s in vain: {what}'
        time.sleep(0.004)


def when(text):
    """An API time as seconds since 1970."""
    import datetime
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', text), text
    return datetime.datetime.strptime(text, '%Y-%m-%dT%H:%M:%S.%fZ').replace(tzinfo=datetime.timezone.utc).timestamp()


def alive(pid):
    """True for a process that is there and not a zombie."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def parent_of(pid):
    with open(f'/proc/{pid}/stat') as f:
        return int(f.read().rsplit(')', 1)[1].split()[1])


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'<{self.status} {self.body[:300]!r}>'


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """get/post/put/delete return the JSON of the answer and assert its status; `ask` returns the bare Answer."""

    def __init__(self, socket_path):
        self.socket_path = socket_path
        self.local = threading.local()

    def connection(self, timeout=90):
        return UnixConnection(self.socket_path, timeout)

    def ask(self, method, path, body=None, headers=None, **query):
        if query:
            path += '?' + urllib.parse.urlencode(query)
        headers = dict(headers or {})
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault('Content-Type', 'application/json')
        for fresh in (False, True):
            c = getattr(self.local, 'c', None)
            if c is None or fresh:
                c = self.local.c = self.connection()
            try:
                c.request(method, path, data, headers)
                r = c.getresponse()
                return Answer(r.status, r.headers, r.read())
            except (http.client.BadStatusLine, ConnectionError, http.client.CannotSendRequest):
                # a kept connection that the daemon has closed meanwhile; a fresh one must work
                c.close()
                self.local.c = None
                if fresh:
                    raise

    def forget_connection(self):
        c = getattr(self.local, 'c', None)
        if c is not None:
            c.close()
        self.local.c = None

    def _json(self, method, path, body, status, query):
        a = self.ask(method, path, body, **query)
        assert a.status == status, f'{method} {path} {body}: {a.status} {a.text}'
        return a.json

    def get(self, path, status=200, **query):
        return self._json('GET', path, None, status, query)

    def post(self, path, body=None, status=200, **query):
        return self._json('POST', path, body, status, query)

    def put(self, path, body=None, status=200, **query):
        return self._json('PUT', path, body, status, query)

    def delete(self, path, body=None, status=200, **query):
        return self._json('DELETE', path, body, status, query)


class Fifo:
    """Lines from tasks to the test, or a gate the test opens for them. Kept open for both directions, so that nobody blocks in open()
    and nobody sees an end."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.buffer = b''

    def line(self, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while b'\n' not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f'nothing was written into {self.path} in {patience} s'
            self.buffer += os.read(self.fd, 65536)
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.decode()

    def words(self, patience=PATIENCE):
        return self.line(patience).split()

    def empty(self):
        """True when nothing has been said that was not read yet."""
        return not self.buffer and not select.select([self.fd], [], [], 0)[0]

    def open(self, n=1):
        os.write(self.fd, b'\n' * n)

    def close(self):
        os.close(self.fd)


class Notifications:
    """What the daemon tells its NOTIFY_SOCKET. A thread reads, as PID 1 does: the socket holds ten datagrams, and then sd_notify waits."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = '\0jobbers-test-%d-%s' % (os.getpid(), os.urandom(6).hex())
        self.sock.bind(self.address)
        self.lines, self.lock = [], threading.Lock()
        self.event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while True:
            data = self.sock.recv(65536)
            if data == b'end of test':
                return
            with self.lock:
                self.lines += data.decode().splitlines()
            os.eventfd_write(self.event, 1)

    @property
    def variable(self):
        return '@' + self.address[1:]

    def take(self, wanted):
        with self.lock:
            while self.lines:
                m = re.fullmatch(wanted, self.lines.pop(0))
                if m:
                    return m
        return None

    def wait(self, wanted, pidfd, patience=PATIENCE):
        """Until a line comes that `wanted` matches; None when the process ends before."""
        deadline = time.monotonic() + patience
        while True:
            m = self.take(wanted)
            if m:
                return m
            left = deadline - time.monotonic()
            assert left > 0, f'no {wanted} in {patience} s'
            ready = select.select([self.event, pidfd], [], [], left)[0]
            if self.event in ready:
                os.eventfd_read(self.event)
            elif pidfd in ready:
                time.sleep(0.05)        # the thread may still be about to hand over the last words
                return self.take(wanted)

    def drain(self):
        with self.lock:
            self.lines.clear()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b'end of test', self.address)
        self.thread.join()
        self.sock.close()
        os.close(self.event)


class Daemon(Client):
    """mode: 'system' (started as root, becomes jobbers) or 'user'. Settings are flags: slots=4, role=['a:1', 'b:2']."""

    def __init__(self, mode=None, **settings):
        self.mode = mode or ('system' if os.geteuid() == 0 else 'user')
        self.uid = ORDINARY_UID if self.mode == 'user' and os.geteuid() == 0 else os.geteuid()
        self.tmp = tempfile.mkdtemp(prefix='jt-', dir=os.environ.get('JOBBERS_TEST_DIR', '/tmp'))
        os.chmod(self.tmp, 0o755)
        for name in ('tasks.d', 'libexec', 'run', 'home', 'data'):
            os.mkdir(self.path(name), 0o755)
        os.chmod(self.path('data'), 0o777)
        os.chmod(self.path('run'), 0o700)
        open(self.path('jobbersd.conf'), 'w').close()
        if self.uid != os.geteuid():
            for name in ('.', 'tasks.d', 'libexec', 'run', 'home', 'jobbersd.conf'):
                os.chown(self.path(name), self.uid, self.uid)
        super().__init__(self.path('s'))
        self.box, self.gate = Fifo(self.path('box')), Fifo(self.path('gate'))
        self.settings = {'config': self.path('jobbersd.conf'), 'state-dir': self.path('state'), 'task-dir': self.path('tasks.d'),
                         'libexec-dir': self.path('libexec'), 'listen': ['127.0.0.1:0', 'unix:' + self.path('s')],
                         'token-file': self.path('token'), 'log-level': 'debug'}
        self.set(**settings)
        self.notifications = Notifications()
        self.process = self.pidfd = None
        self.errors = open(self.path('stderr'), 'wb')
        self.expected_status = 0
        self.environment = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': self.path('home'), 'LANG': 'C.UTF-8',
                            'XDG_RUNTIME_DIR': self.path('run'), 'XDG_STATE_HOME': self.path('home'), 'XDG_CONFIG_HOME': self.path('home'),
                            'JOBBERS_TEST_LEAK': 'must not be seen by tasks', 'NOTIFY_SOCKET': self.notifications.variable,
                            # a process that changed its uid cannot be searched for leaks
                            'ASAN_OPTIONS': 'detect_leaks=%d:abort_on_error=0:allocator_may_return_null=1:quarantine_size_mb=16' % (self.mode == 'user'),
                            'UBSAN_OPTIONS': 'print_stacktrace=1'}
        for name in ('JOBBERS_BUILD', 'LLVM_PROFILE_FILE', 'GCOV_PREFIX', 'GCOV_PREFIX_STRIP'):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def set(self, **settings):
        for k, v in settings.items():
            self.settings[k.replace('_', '-')] = v

    # ── definitions ──

    def fill(self, text):
        return (text.replace('@BOX@', self.box.path).replace('@GATE@', self.gate.path).replace('@DATA@', self.path('data'))
                .replace('@TMP@', self.tmp))

    def script(self, name, text, mode=0o755):
        """An executable in the libexec directory; a shell script unless it says otherwise."""
        text = self.fill(text)
        if not text.startswith('#!'):
            text = '#!/bin/sh\n' + text
        path = self.path('libexec', name)
        with open(path + '.new', 'w') as f:
            f.write(text)
            os.chmod(f.fileno(), mode)
            if self.uid != os.geteuid():
                os.chown(f.fileno(), self.uid, self.uid)
        os.rename(path + '.new', path)
        return path

    def file(self, name, text, directory='tasks.d', mode=0o644):
        """A definition file or drop-in, put there by rename."""
        path = self.path(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + '.new', 'w') as f:
            f.write(self.fill(text))
            os.chmod(f.fileno(), mode)
            if self.uid != os.geteuid():
                os.chown(f.fileno(), self.uid, self.uid)
        os.rename(path + '.new', path)
        return path

    def define(self, name, script, version=1, extra='', **keys):
        """Writes NAME.task (and its script); MaxConcurrent is unlimited unless given. Call `reload` when the daemon runs already."""
        keys.setdefault('MaxConcurrent', 'infinity')
        executable = name if version == 1 else f'{name}-{version}'
        self.script(executable, script)
        lines = ''.join(f'{k}={v}\n' for k, v in keys.items())
        self.file(f'{executable}.task', f'[Task]\nName={name}\nVersion={version}\nExecStart={executable}\n{lines}{extra}')

    # ── the process ──

    def command(self):
        argv = [os.path.join(PROGRAMS, 'jobbersd'), '--' + self.mode]
        for k, v in self.settings.items():
            for one in v if isinstance(v, list) else [v]:
                argv.append(f'--{k}' if one is True else f'--{k}={one}')
        if self.uid != os.geteuid():
            argv = ['/usr/bin/setpriv', f'--reuid={self.uid}', f'--regid={self.uid}', '--clear-groups'] + argv
        return argv

    def spawn(self):
        self.notifications.drain()
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, env=self.environment,
                                        cwd='/')
        self.pidfd = os.pidfd_open(self.process.pid)

    @contextlib.contextmanager
    def database(self):
        """While the daemon is down: its database, to write into what no daemon would."""
        db = sqlite3.connect(self.path('state', 'jobbers.db'))
        yield db
        db.commit()
        db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        db.close()
        owner = os.stat(self.path('state'))
        for name in os.listdir(self.path('state')):
            if name.startswith('jobbers.db'):
                os.chown(self.path('state', name), owner.st_uid, owner.st_gid)

    def start(self):
        self.spawn()
        ready = self.notifications.wait('READY=1', self.pidfd)
        assert ready, f'jobbersd ended with status {self.process.wait()} before it was ready:\n{self.log()}'
        self.expected_status = 0
        return self

    def start_refused(self, patience=PATIENCE):
        """Starts it where that must fail; returns the status."""
        self.spawn()
        assert self.notifications.wait('READY=1', self.pidfd) is None, 'it started'
        return self.reap()

    def reap(self):
        status = self.process.wait(PATIENCE)
        os.close(self.pidfd)
        self.process = self.pidfd = None
        self.forget_connection()
        return status

    def log(self):
        self.errors.flush()
        with open(self.path('stderr'), errors='replace') as f:
            return f.read()

    def reload(self):
        self.notifications.drain()
        os.kill(self.process.pid, signal.SIGHUP)
        assert self.notifications.wait('READY=1', self.pidfd)

    def terminate(self):
        os.kill(self.process.pid, signal.SIGTERM)

    def stop(self):
        """SIGTERM, and the status; 0 is asserted."""
        self.terminate()
        status = self.reap()
        assert status == self.expected_status, f'status {status}\n{self.log()}'

    def kill9(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.reap()

    def restart(self):
        self.stop()
        return self.start()

    @property
    def port(self):
        """The TCP port: from what the daemon says it listens on."""
        return int(re.findall(r'listening on .*?127\.0\.0\.1:(\d+)', self.log())[-1])

    @property
    def token(self):
        with open(self.path('token')) as f:
            return f.read().strip()

    def instance(self):
        """The directory of attempts, as the processes and cgroups of this instance carry its name."""
        name = os.path.basename(self.attempts_dir)
        return name.replace('attempts', 'jobbers', 1)

    @property
    def run_dir(self):
        return '/run/jobbers' if self.mode == 'system' else self.path('run', 'jobbers')

    @property
    def attempts_dir(self):
        return self.run_dir + '/attempts-' + instance_hash(self.path('state'))

    @property
    def records_dir(self):
        return self.run_dir + '/records-' + instance_hash(self.path('state'))

    @property
    def saved_dir(self):
        return self.path('state', 'records')

    def launcher_pid(self):
        children = open(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read().split()
        for pid in children:
            if b'--launcher' in open(f'/proc/{pid}/cmdline', 'rb').read():
                return int(pid)
        raise AssertionError(f'no launcher among the children {children}')

    # ── tasks ──

    def submit(self, name, version=1, **body):
        return self.post('/submit-task', {'name': name, 'version': version, **body})['task']['id']

    def status(self, task_id):
        return self.get(f'/task-status/{task_id}')

    def wait_final(self, task_id, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while True:
            t = self.get(f'/task-status/{task_id}', wait=max(1, min(60, int(deadline - time.monotonic()))))
            if t['status'] in FINAL:
                return t
            assert time.monotonic() < deadline, f'not final after {patience} s: {t}\n{self.log()[-3000:]}'

    def wait_status(self, task_id, status, patience=PATIENCE):
        return until(lambda: (lambda t: t if t['status'] == status else None)(self.status(task_id)), f'{task_id} {status}', patience)

    def run(self, name, version=1, **body):
        """Submits and waits for the end; the record."""
        return self.wait_final(self.submit(name, version, **body))

    def cancel(self, task_id, status=200):
        return self.post(f'/task/{task_id}/cancel', status=status)

    # ── the end ──

    def processes(self):
        """Everything that belongs to this daemon or its tasks, by what its command line or environment names."""
        found = []
        me = os.getpid()
        needles = [self.tmp.encode() + b'/', self.attempts_dir.encode() + b'/']
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if int(pid) == me:
                continue
            try:
                text = open(f'/proc/{pid}/cmdline', 'rb').read() + b'\0' + open(f'/proc/{pid}/environ', 'rb').read()
                if any(n in text for n in needles) and alive(pid) and not (self.process and int(pid) == self.process.pid):
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def task_processes(self):
        """The tasks' own: a supervisor carries the launcher's command line, and may wait for another attempt when its own is over."""
        def is_ours(pid):
            try:
                return b'--launcher' in open(f'/proc/{pid}/cmdline', 'rb').read()
            except OSError:
                return True
        return [pid for pid in self.processes() if not is_ours(pid)]

    def main_pid(self, task_id):
        """The task's main process as the host sees it: the one that carries the task's environment and whose parent does not."""
        def carries(pid):
            try:
                return b'JOBBERS_TASK_ID=' + task_id.encode() in open(f'/proc/{pid}/environ', 'rb').read().split(b'\0')
            except OSError:
                return False
        def found():                            # nobody, in the middle of an exec
            return [p for p in self.task_processes() if carries(p) and not carries(parent_of(p))]
        [pid] = until(found, 'one process carries it')
        return pid

    def supervisor_pid(self, task_id):
        """While its launcher lives: the ancestor that is the launcher's child."""
        launcher, pid = self.launcher_pid(), self.main_pid(task_id)
        while parent_of(pid) != launcher:
            pid = parent_of(pid)
            assert pid > 1
        return pid

    def cgroups(self):
        """Cgroups of attempts of this instance."""
        found = []
        for line in open('/proc/self/mountinfo'):
            fields = line.split()
            if ' - cgroup2 ' in line:
                for d, names, _ in os.walk(fields[4]):
                    found += [os.path.join(d, n) for n in names if self.instance() in n]
        return found

    def attempts(self):
        return os.listdir(self.attempts_dir) if os.path.isdir(self.attempts_dir) else []

    def records(self):
        """Of attempts, in memory or saved."""
        names = {n for d in (self.records_dir, self.saved_dir) if os.path.isdir(d) for n in os.listdir(d)}
        return sorted(names - {'.birth'})

    def close(self, check=True):
        """Ends it and holds it to its word."""
        problems = []
        try:
            if self.process:
                if self.process.poll() is None:
                    self.terminate()
                try:
                    status = self.reap()
                except subprocess.TimeoutExpired:
                    problems.append('it did not end on SIGTERM')
                    self.kill9()
                else:
                    if status != self.expected_status:
                        problems.append(f'its status was {status} and not {self.expected_status}')
            if check:
                problems += self.leftovers()
            text = self.log()
            if re.search(r'Sanitizer|runtime error:', text):
                problems.append('a sanitizer has something to say')
        finally:
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.box.close()
            self.gate.close()
            self.errors.close()
            self.notifications.close()
            self.forget_instance()
            if os.environ.get('JOBBERS_TEST_KEEP') != '1':
                shutil.rmtree(self.tmp, ignore_errors=True)
        assert not problems, '; '.join(problems) + '\n' + text[-6000:]

    def forget_instance(self):
        """The directories in /run are kept for the next daemon of that state; after a test there are none. Only when they are empty."""
        try:
            os.unlink(self.records_dir + '/.birth')
        except OSError:
            pass
        for path in (p for d in (self.attempts_dir, self.records_dir) for p in (os.path.realpath(d), d)):
            try:
                os.unlink(path) if os.path.islink(path) else os.rmdir(path)
            except OSError:
                pass

    def leftovers(self):
        """What must not be there after the end. Supervisors whose end was noticed may take a moment to be gone."""
        def look():
            return [f'{what} left behind: {things}' for what, things in
                    (('processes', self.processes()), ('cgroups', self.cgroups()), ('attempts', self.attempts()), ('records', self.records()))
                    if things]
        deadline = time.monotonic() + 3
        while True:
            found = look()
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.01)


def instance_hash(state_dir):
    """As jobbersd/model/settings.c names the directories of an instance: FNV-1a, folded to 32 bits."""
    h = 0xcbf29ce484222325
    for byte in state_dir.encode():
        h = (h ^ byte) * 0x100000001b3 % 2**64
    return '%08x' % ((h ^ h >> 32) & 0xffffffff)
