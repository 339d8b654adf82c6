"""The launcher without a daemon: jobbers-run --launcher at the end of a socketpair, spoken to in packed structs (launch/wire.h).

Real processes, real cgroups. What a task has to tell comes through a FIFO ("box"); the end of an attempt is the end of its channel."""
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time

from harness import PROGRAMS

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get('JOBBERS_BUILD', os.path.join(TREE, 'build')))
PATIENCE = float(os.environ.get('JOBBERS_TEST_PATIENCE', '20'))
RUN = os.path.join(PROGRAMS, 'jobbers-run')
ORDINARY_UID = 65534
CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

REQUEST = struct.Struct('=II16sII65s65s2xIQi4x4Q')
REPLY = struct.Struct('=IIiIIi256s')
HELLO, START, SIGNAL, KILL, FORGET, SLICE, RELOAD = range(7)
HOLDS_SCOPE, HOLDS_CGROUP, HOLDS_PIDNS, HOLDS_TREE, HAS_MEMORY, HAS_JOURNAL, HAS_SCOPES, HAS_CPU, HAS_IO, HAS_PIDS = (1 << i for i in range(10))
assert REQUEST.size == 216 and REPLY.size == 280

# How to start the launcher so that it has to hold attempts in one way: (prefix, uid, expected flag). The ways that forbid something work in a
# mount namespace where the cgroup tree is covered up.
NO_CGROUP = ['unshare', '--mount', 'sh', '-c',
             'for m in $(awk \'$3 == "cgroup2" { print $2 }\' /proc/self/mounts); do mount -t tmpfs -o ro none $m; done; exec "$@"', 'sh']
NO_ADMIN = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-all']
HOLDERS = {
    'cgroup': ([], 0, HOLDS_CGROUP),
    'pidns': (NO_CGROUP, 0, HOLDS_PIDNS),
    'tree': (NO_CGROUP + NO_ADMIN, 0, HOLDS_TREE),
    'user': ([], ORDINARY_UID, HOLDS_PIDNS),
}


def until(condition, what, patience=PATIENCE):
    """For what nobody announces; returns the first true value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f'waited {patience} s in vain: {what}'
        time.sleep(0.004)


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as f:
        return [int(p) for p in f.read().split()]


def ulid(raw):
    n = int.from_bytes(raw, 'big')
    return ''.join(CROCKFORD[(n >> (5 * i)) & 31] for i in reversed(range(26)))


_hashes = None


def hashes_program():
    """Compiled once a run."""
    global _hashes
    if _hashes is None:
        d = tempfile.mkdtemp(prefix='jobbers-hashes-')
        os.chmod(d, 0o755)
        _hashes = os.path.join(d, 'hashes')
        flags = ['-fsanitize=address,undefined'] if BUILD.endswith('-san') else ['--coverage'] if BUILD.endswith('-cov') else []
        subprocess.run(['gcc', '-std=gnu17', '-D_GNU_SOURCE', '-I' + os.path.join(TREE, 'jobbersd'), *flags, '-o', _hashes,
                        os.path.join(HERE, 'definition-hashes.c'), os.path.join(BUILD, 'model.a'), os.path.join(BUILD, 'base.a'),
                        '-ljansson', '-lsystemd'], check=True)
    return _hashes


class Reply:
    def __init__(self, data):
        self.verb, self.cookie, self.result, self.version, self.flags, self.pid, text = REPLY.unpack(data)
        self.text = text.split(b'\0')[0].decode()

    def __repr__(self):
        return f'<reply {self.verb} {self.result} {self.text!r}>'


class Attempt:
    def __init__(self, launcher, raw, attempt):
        self.launcher, self.raw, self.attempt = launcher, raw, attempt
        self.id = ulid(raw)
        self.key = f'{self.id}.{attempt}'
        self.dir = os.path.join(launcher.attempt_dir, self.key)
        self.record_path = os.path.join(launcher.record_dir, self.key)
        self.saved_path = os.path.join(launcher.saved_dir, self.key)
        self.channel = None
        self.notes = []
        self.over = None                # what came with END, when the supervisor waits for another attempt

    def say(self, text):
        self.channel.send(text.encode())

    def hang_up(self):
        self.channel.close()
        self.channel = None

    def note(self, key, patience=PATIENCE):
        """Waits for a note of this name; its value."""
        deadline = time.monotonic() + patience
        while True:
            for k, v in self.notes:
                if k == key:
                    return v
            assert self.read(deadline - time.monotonic()), f'the channel ended without {key}: {self.notes}'

    def read(self, patience=PATIENCE):
        """One datagram; False at the end of the stream, or of the attempt."""
        assert select.select([self.channel], [], [], max(patience, 0))[0], f'nothing came through the channel of {self.key}: {self.launcher.log()}'
        try:
            data = self.channel.recv(65536)
        except ConnectionResetError:
            data = b''
        if data.startswith(b'END=1\n'):
            self.over = data[6:]
            return False
        for line in data.decode().splitlines():
            self.notes.append(tuple(line.split('=', 1)))
        return bool(data)

    def end(self, patience=PATIENCE):
        """Waits for the end of the attempt. The record, or None."""
        deadline = time.monotonic() + patience
        while self.read(deadline - time.monotonic()):
            pass
        return self.record()

    def record(self):
        """As a daemon looks for it."""
        path = self.record_path if os.path.exists(self.record_path) else self.saved_path
        try:
            with open(path, 'rb') as f:
                data = f.read()
        except FileNotFoundError:
            return None
        head, result = data.split(b'\n\n', 1)
        lines = head.decode().split('\n')
        assert lines[0] == 'JOBBERS_EXIT_RECORD=1', lines
        r = dict(line.split('=', 1) for line in lines)
        n = int(r.get('RESULT_LENGTH', 0))
        assert not result[n:].strip(b'\n'), result
        r['result'] = result[:n]
        return r

    @property
    def started_exists(self):
        return os.path.exists(self.record_path + '.started')

    def supervisor(self):
        """Its pid, asked through the control socket; that connection becomes the channel."""
        self.connect()
        self.say('HELLO=1\n')
        return int(self.note('PID'))

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = os.open(self.dir, os.O_PATH)
        s.connect(f'/proc/self/fd/{fd}/control')
        os.close(fd)
        if self.channel:
            self.channel.close()
        self.channel = s
        self.notes = []

    def log(self):
        try:
            with open(os.path.join(self.launcher.log_dir, self.id + '.log'), 'rb') as f:
                return f.read()
        except FileNotFoundError:
            return None

    def traces(self):
        """All files that speak of it."""
        found = []
        for d in (self.launcher.attempt_dir, self.launcher.record_dir, self.launcher.saved_dir):
            found += [os.path.join(d, n) for n in os.listdir(d) if n.startswith(self.key)]
        return found


class Launcher:
    def __init__(self, holder='cgroup', flags=()):
        self.prefix, self.uid, self.expected = HOLDERS[holder]
        self.tmp = tempfile.mkdtemp(prefix='jobbers-run-test-')
        self.gid = self.uid
        os.chmod(self.tmp, 0o755)
        self.tasks = os.path.join(self.tmp, 'tasks')
        os.mkdir(self.tasks)
        self.box_path = os.path.join(self.tmp, 'box')
        os.mkfifo(self.box_path)
        os.chmod(self.box_path, 0o666)
        self.box = os.open(self.box_path, os.O_RDWR | os.O_NONBLOCK)
        self.box_lines = []
        self.box_rest = b''
        if self.uid:
            os.chown(self.tmp, self.uid, self.gid)
        self.flags = ['--state-dir=' + os.path.join(self.tmp, 'state'), '--task-dir=' + self.tasks, '--launcher=subprocess',
                      '--config=/dev/null', *flags]
        self.process = None
        self.sock = None
        self.hello = None
        self.cookie = 0
        self.attempts = []
        self.hashes = {}
        self.err_path = os.path.join(self.tmp, 'stderr')
        self.env = {'PATH': os.environ['PATH'], 'XDG_RUNTIME_DIR': os.path.join(self.tmp, 'run'), 'HOME': self.tmp, 'SECRET': 'of the daemon',
                    **{k: v for k, v in os.environ.items() if k.startswith(('ASAN_', 'UBSAN_', 'LSAN_', 'GCOV_'))}}

    def define(self, name, script, version=0, more='', **keys):
        path = os.path.join(self.tmp, f'{name}-{version}.sh')
        with open(path, 'w') as f:
            f.write('#!/bin/sh\n' + script.replace('@BOX@', self.box_path).replace('@TMP@', self.tmp) + '\n')
        os.chmod(path, 0o755)
        exec_start = keys.pop('ExecStart', path)
        with open(os.path.join(self.tasks, f'{name}-{version}.task'), 'w') as f:
            f.write(f'[Task]\nName={name}\nVersion={version}\nExecStart={exec_start}\n')
            for k, v in keys.items():
                f.write(f'{k}={v}\n')
            f.write(more + '\n')

    def ask_names(self):
        kw = {'user': self.uid, 'group': self.gid, 'extra_groups': []} if self.uid else {}
        out = subprocess.run([hashes_program(), *self.flags], check=True, capture_output=True, text=True, env=self.env, **kw).stdout
        for line in out.splitlines():
            word, *rest = line.split()
            if word == 'hash':
                self.hashes[rest[0], int(rest[1])] = int(rest[2])
            else:
                setattr(self, word, rest[0])

    def start(self, wait_hello=True, **popen):
        self.ask_names()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kw = {'user': self.uid, 'group': self.gid, 'extra_groups': []} if self.uid else {}
        with open(self.err_path, 'ab') as err:
            self.process = subprocess.Popen([*self.prefix, RUN, '--launcher', f'--launcher-fd={theirs.fileno()}', *self.flags],
                                            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=self.env, cwd='/',
                                            **kw, **popen)
        theirs.close()
        self.sock = ours
        if wait_hello:
            self.hello = self.reply()
            assert self.hello.verb == HELLO and self.hello.version == 5
            assert self.hello.flags & 15 == self.expected, (self.hello.flags, self.log())
            assert self.hello.pid == self.process.pid
        return self

    def log(self):
        with open(self.err_path, errors='replace') as f:
            return f.read()

    def reply(self, patience=PATIENCE):
        assert select.select([self.sock], [], [], patience)[0], 'the launcher does not answer: ' + self.log()
        data = self.sock.recv(4096)
        assert data, 'the launcher is gone: ' + self.log()
        return Reply(data)

    def request(self, verb, attempt=None, fds=(), raw=None, number=None, retry=0, name='', queue='', version=0, hash=0, sig=0, limits=(0, 0, 0, 0)):
        self.cookie += 1
        data = REQUEST.pack(verb, self.cookie, raw or (attempt.raw if attempt else bytes(16)), number if number is not None else
                            attempt.attempt if attempt else 0, retry, name.encode(), queue.encode(), version, hash, sig, *limits)
        socket.send_fds(self.sock, [data], list(fds))
        return self.cookie

    def ask(self, verb, attempt=None, **kw):
        cookie = self.request(verb, attempt, **kw)
        r = self.reply()
        assert (r.verb, r.cookie) == (verb, cookie)
        return r

    def run(self, name, parameters='{}', attempt=1, raw=None, go=True, version=0, retry=0, queue='default', hash=None, after=None, taken=False):
        """Sends a start, to the launcher or to the supervisor that has done the attempt `after`, whose record may be `taken`; the attempt."""
        a = Attempt(self, raw or b'\x01' + os.urandom(15), attempt)
        hash = self.hashes[name, version] if hash is None else hash
        memory = os.memfd_create('parameters')
        os.write(memory, parameters.encode())
        if after:
            a.channel, after.channel = after.channel, None
            data = REQUEST.pack(START, 0, a.raw, attempt, retry, name.encode(), queue.encode(), version, hash, 0, 0, 0, 0, 0)
            socket.send_fds(a.channel, [data], [memory])
            try:
                if go:
                    a.say('TAKEN=1\nGO=1\n' if taken else 'GO=1\n')
            except BrokenPipeError:
                pass                    # it has read the order and left
        else:
            a.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if go:
                a.say('GO=1\n')
            self.request(START, a, fds=[memory, theirs.fileno()], retry=retry, name=name, queue=queue, version=version, hash=hash)
            theirs.close()
        os.close(memory)
        self.attempts.append(a)
        return a

    def line(self, patience=PATIENCE):
        """The next line that a task wrote into the box."""
        deadline = time.monotonic() + patience
        while b'\n' not in self.box_rest:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.box], [], [], left)[0], 'no task said anything: ' + self.log()
            self.box_rest += os.read(self.box, 65536)
        line, self.box_rest = self.box_rest.split(b'\n', 1)
        return line.decode()

    def host_pid(self, a, marker):
        """A task's own idea of its pid is another in a PID namespace: by command line."""
        def find():
            for p in os.listdir('/proc'):
                if p.isdigit():
                    try:
                        with open(f'/proc/{p}/cmdline', 'rb') as f:
                            if marker.encode() in f.read().split(b'\0') and alive(int(p)):
                                return int(p)
                    except OSError:
                        pass
        return until(find, f'a process with the argument {marker}')

    def cgroup(self, a):
        return os.readlink(os.path.join(a.dir, 'cgroup'))

    def leave(self):
        """As a daemon that dies: the connection ends. The launcher's status."""
        self.sock.close()
        return self.process.wait(PATIENCE)

    def close(self):
        for a in self.attempts:
            if a.channel:
                a.channel.close()
        if self.process:
            self.sock.close()
            try:
                status = self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                status = 'none, it does not end'
        os.close(self.box)
        leftovers = []
        if self.process:
            # Whatever a failing test left running holds its attempt directory.
            for name in os.listdir(self.attempt_dir) if os.path.isdir(self.attempt_dir) else []:
                try:
                    cgroup = os.readlink(os.path.join(self.attempt_dir, name, 'cgroup'))
                    leftovers.append(cgroup)
                    with open(os.path.join(cgroup, 'cgroup.kill'), 'w') as f:
                        f.write('1')
                except OSError:
                    pass
            for path in (self.attempt_dir, self.record_dir):
                shutil.rmtree(os.path.realpath(path), ignore_errors=True)
                if os.path.islink(path):
                    os.unlink(path)
        shutil.rmtree(self.tmp, ignore_errors=True)
        if self.process:
            assert status == 0, f'the launcher ended with status {status}'


class Listening:
    """The launcher with a listening socket at descriptor 3, as jobbers-launcher.socket gives it."""

    def __init__(self, launcher):
        launcher.ask_names()
        self.launcher = launcher
        self.path = os.path.join(launcher.tmp, 'launcher.sock')
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        os.chmod(self.path, 0o666)
        listener.listen(5)
        script = f'exec 3<&{listener.fileno()} {listener.fileno()}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        with open(launcher.err_path, 'ab') as err:
            self.process = subprocess.Popen(['bash', '-c', script, 'bash', RUN, '--launcher', *launcher.flags], pass_fds=[listener.fileno()],
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=launcher.env)
        listener.close()
        launcher.process = self.process

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(self.path)
        self.launcher.sock = s
        return self.launcher.reply()

    def close(self):
        self.process.terminate()
        assert self.process.wait(20) == 0
        self.launcher.process = None
