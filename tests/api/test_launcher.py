"""The launcher where it is placed oddly, and what it makes of evidence that is not what it wrote."""
import errno
import os
import signal
import socket
import sys

import pytest

from run_harness import KILL, SIGNAL, START, Launcher, alive, until
from test_scope import can_make_cgroups, mount_point

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='drives a launcher that is root')


@pytest.fixture
def make(request):
    made = []

    def new(holder='cgroup', **kw):
        launcher = Launcher(holder, **kw)
        made.append(launcher)
        return launcher

    yield new
    for launcher in made:
        launcher.close()


@pytest.mark.skipif(not can_make_cgroups(), reason='needs a cgroup v2 tree')
@pytest.mark.parametrize('attribute', ['user.delegate', 'trusted.delegate'])
def test_a_delegated_subtree(make, attribute):
    """The launcher moves itself to a leaf, so that controllers can be passed on; the next one that is started there finds its place again."""
    launcher = make()
    top = os.path.join(mount_point(), os.path.basename(launcher.tmp))
    os.mkdir(top)
    try:
        os.setxattr(top, attribute, b'1')
        launcher.prefix = ['sh', '-c', f'echo $$ >{top}/cgroup.procs; exec "$@"', 'sh']
        launcher.define('where', 'sed -n "s/^0:://p" /proc/self/cgroup >@BOX@')
        a = launcher.start().run('where')
        where = launcher.line()
        instance = where.rsplit('/', 1)[0]
        assert instance.rsplit('/', 1)[0] == '/' + os.path.basename(top), where
        with open(f'/proc/{launcher.process.pid}/cgroup') as f:
            assert f'0::/{os.path.basename(top)}/launcher\n' in f.read()
        assert a.end()['EXIT_STATUS'] == '0'
        assert launcher.leave() == 0

        launcher.prefix = ['sh', '-c', f'echo $$ >{top}/launcher/cgroup.procs; exec "$@"', 'sh']
        a = launcher.start().run('where')
        assert launcher.line().rsplit('/', 1)[0] == instance
        assert a.end()['EXIT_STATUS'] == '0'
    finally:
        if launcher.process:
            launcher.leave()
        for path, _, _ in os.walk(top, topdown=False):
            until(lambda: not os.path.exists(path) or remove(path), f'{path} is empty')


def remove(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False


@pytest.mark.parametrize('user', ['jobbers-task', 'root'])
def test_no_capability_is_inherited(make, user):
    """Whatever the launcher was started with."""
    launcher = make()
    launcher.prefix = ['setpriv', '--inh-caps=+net_raw,+kill', '--ambient-caps=+net_raw,+kill']
    launcher.define('ask', 'grep -E "^Cap(Inh|Amb|Prm)" /proc/self/status | tr -s "\\n\\t" "  " >@BOX@; echo >@BOX@', User=user)
    a = launcher.start().run('ask')
    words = launcher.line().split()
    inherited = dict(zip(words[::2], words[1::2]))
    assert int(inherited['CapInh:'], 16) == int(inherited['CapAmb:'], 16) == 0, words
    assert (int(inherited['CapPrm:'], 16) == 0) == (user != 'root')
    assert a.end()['EXIT_STATUS'] == '0'


def test_no_scheduling_is_inherited(make):
    """Started with other priorities, on one CPU, as the first to be taken when memory is short."""
    launcher = make()
    allowed = os.sched_getaffinity(1)
    task = os.path.join(launcher.tmp, 'task.py')
    with open(task, 'w') as f:
        f.write('import os, sys\nprint(os.nice(0), os.sched_getscheduler(0), *sorted(os.sched_getaffinity(0)), open("/proc/self/oom_score_adj").read().strip(), '
                'file=open(sys.argv[1], "w"))\n')

    def worsen():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.nice(7)
        with open('/proc/self/oom_score_adj', 'w') as f:
            f.write('300')
    launcher.prefix = ['ionice', '-c', '3']
    launcher.define('ask', f'{sys.executable} {task} @BOX@; ionice >@BOX@')
    a = launcher.start(preexec_fn=worsen).run('ask')
    assert launcher.line().split() == ['0', str(os.SCHED_OTHER), *map(str, sorted(allowed)), '0']
    assert launcher.line().split(':')[0] == 'none'
    assert a.end()['EXIT_STATUS'] == '0'


KEYS = f'''import ctypes, os, sys
c = ctypes.CDLL(None, use_errno=True)
def keyctl(*a): return c.syscall({250 if os.uname().machine == 'x86_64' else 219}, *a)
def add(name): return c.syscall({248 if os.uname().machine == 'x86_64' else 217}, b"user", name, b"secret", 6, -3)
'''


def test_no_key_of_root_is_reached(make):
    """Started from root's login session, whose keyring holds a key."""
    launcher = make()
    enter = os.path.join(launcher.tmp, 'enter.py')
    with open(enter, 'w') as f:
        f.write(KEYS + 'if keyctl(1, None) < 0 or add(b"of-root") < 0 or keyctl(10, -3, b"user", b"of-root", 0) < 0: sys.exit(77)\n'
                       'os.execvp(sys.argv[1], sys.argv[1:])\n')
    if os.spawnlp(os.P_WAIT, sys.executable, sys.executable, enter, 'true') != 0:
        pytest.skip('no keyrings here')
    launcher.prefix = [sys.executable, enter]
    look = os.path.join(launcher.tmp, 'look.py')
    with open(look, 'w') as f:
        f.write(KEYS + 'print("found" if keyctl(10, -3, b"user", b"of-root", 0) >= 0 else "nothing", file=open(sys.argv[1], "w"))\n')
    launcher.define('look', f'exec {sys.executable} {look} @BOX@')
    a = launcher.start().run('look')
    assert launcher.line() == 'nothing'
    assert a.end()['EXIT_STATUS'] == '0'


@pytest.mark.parametrize('users', [('games', 'nobody'), ('games', 'games'), ('root', 'nobody')])
def test_no_key_of_another_attempt_is_reached(make, users):
    """Neither while the first one runs, nor after it."""
    if os.spawnlp(os.P_WAIT, sys.executable, sys.executable, '-c', KEYS + 'sys.exit(keyctl(1, None) < 0)') != 0:
        pytest.skip('no keyrings here')
    launcher = make()
    put, look = (os.path.join(launcher.tmp, name) for name in ('put.py', 'look.py'))
    with open(put, 'w') as f:
        f.write(KEYS + 'print("put" if add(b"of-another") >= 0 else "none", file=open(sys.argv[1], "w"))\n')
    with open(look, 'w') as f:
        f.write(KEYS + 'print("found" if keyctl(10, -3, b"user", b"of-another", 0) >= 0 else "nothing", file=open(sys.argv[1], "w"))\n')
    launcher.define('put', f'{sys.executable} {put} @BOX@; exec sleep 1000', User=users[0])
    launcher.define('look', f'exec {sys.executable} {look} @BOX@', User=users[1])
    first = launcher.start().run('put')
    assert launcher.line() == 'put', 'its own takes keys'
    assert launcher.run('look').end()['EXIT_STATUS'] == '0'
    assert launcher.line() == 'nothing'
    first.say('STOP=cancelled\n')
    assert first.end()['END_REASON'] == 'cancelled'
    assert launcher.run('look').end()['EXIT_STATUS'] == '0'
    assert launcher.line() == 'nothing'


def test_a_limit_that_cannot_be_set(make):
    launcher = make()
    launcher.define('greedy', 'exit 0', more='[Resources]\nLimitNOFILE=1000000000\n')
    record = launcher.start().run('greedy').end()
    assert record['EXIT_STATUS'] == '205' and 'LimitNOFILE=' in record['ERROR'], record


def test_sigkill_at_once(make):
    launcher = make()
    launcher.define('long', 'trap "" TERM; echo $$ >@BOX@; exec sleep 1000', KillSignal='SIGKILL', KillGraceSec='1h')
    a = launcher.start().run('long')
    pid = int(launcher.line())
    a.say('STOP=cancelled\n')
    record = a.end()
    assert (record['END_REASON'], record['TERM_SIGNAL']) == ('cancelled', '9') and not alive(pid)


def test_stopped_before_it_began(make):
    """The reason comes with the GO."""
    launcher = make()
    launcher.define('long', 'exec sleep 1000')
    a = launcher.start().run('long', go=False)
    a.say('GO=1\nSTOP=shutdown\n')
    record = a.end()
    assert record is None or record['END_REASON'] == 'shutdown'


@pytest.mark.parametrize('name, text, result', [
    ('cgroup', 'sys/fs/cgroup/x', -errno.EINVAL), ('cgroup', '/x', -errno.EINVAL), ('cgroup', '/nowhere/at/all', 0), ('cgroup', '/etc', -errno.EINVAL),
    ('cgroup', '/etc/passwd/x', None), ('init', 'x', -errno.EINVAL), ('init', '1 0', -errno.EINVAL), ('init', '0 0', -errno.EINVAL), ('init', '-1 5', -errno.EINVAL),
    ('init', '4194303 5', 0), ('init', 'OURS 1', 0)])
def test_evidence_that_is_none(make, name, text, result):
    """Only the launcher writes there. Should it be wrong all the same: nobody is killed by it."""
    launcher = make()
    launcher.define('ok', 'exit 0')
    launcher.start()
    raw = os.urandom(16)
    a = launcher.run('ok', raw=b'\x01' + raw[1:])
    a.end()
    os.mkdir(a.dir)
    os.symlink(text.replace('OURS', str(os.getpid())), os.path.join(a.dir, name))
    r = launcher.ask(KILL, a)
    if result is None:
        assert r.result < 0 or r.result == 0
    else:
        assert r.result == result, r
    r = launcher.ask(SIGNAL, a, sig=signal.SIGTERM)
    assert r.result <= 0
    assert alive(launcher.process.pid)
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'


def test_a_task_that_passes_what_lingers(make):
    """A socket whose last close waits for an hour, passed to the supervisor: its timeout holds, and the end is told. The other end of the
    connection is in another process, as it could be on another machine. The supervisor stands still until the task has closed its own: else the
    last close could be the task's."""
    launcher = make()
    listener = socket.create_server(('127.0.0.1', 0))
    launcher.define('trap', f'''exec {sys.executable} -c '
import array, os, socket, struct, time
s = socket.create_connection(("127.0.0.1", {listener.getsockname()[1]}))
s.setblocking(False)
try:
    while True: s.send(bytes(65536))
except BlockingIOError: pass
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n.connect(os.environ["NOTIFY_SOCKET"])
open("{launcher.box_path}", "w").write(str(os.getppid()) + "\\n")
while open(f"/proc/{{os.getppid()}}/stat").read().rsplit(")", 1)[1].split()[0] != "T": time.sleep(0.01)
for i in range(3):
    n.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
s.close()
open("{launcher.box_path}", "w").write("passed\\n")
time.sleep(1000)\'''', TimeoutSec='2s')
    a = launcher.start().run('trap')
    supervisor = int(launcher.line())
    os.kill(supervisor, signal.SIGSTOP)
    try:
        assert launcher.line() == 'passed'
    finally:
        os.kill(supervisor, signal.SIGCONT)
    record = a.end()
    assert record['END_REASON'] == 'timeout', record
    listener.close()
    # and the launcher has not noticed
    launcher.define('ok', 'exit 0')
    launcher.ask_names()
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'


# ── supervisors that are killed where only descent holds an attempt ──

# Out of its session, deaf to SIGTERM, with nothing in its environment that tells where it comes from.
HIDDEN = 'setsid env -i /bin/sh -c \'trap "" TERM; echo $$ >@BOX@; while :; do sleep 1000; done\''


def test_orphans_are_ended_before_they_are_said_to_be(make):
    launcher = make('tree')
    launcher.define('kids', f'{HIDDEN} & exec sleep 1000', KillGraceSec='300ms')
    launcher.start()
    a, other = launcher.run('kids'), launcher.run('kids')
    pids = {int(launcher.line()), int(launcher.line())}
    supervisor, theirs = a.supervisor(), other.supervisor()
    os.kill(supervisor, signal.SIGKILL)
    assert a.end() is None and a.started_exists
    r = launcher.ask(KILL, a)
    assert (r.result, r.text) == (0, '')
    spared, = (pid for pid in pids if alive(pid))               # that of the attempt which goes on
    assert alive(theirs)
    other.say('STOP=cancelled\n')
    assert other.end()['END_REASON'] == 'cancelled'
    assert not alive(spared)


def test_orphans_of_an_earlier_launcher(make):
    """They went to init, and are known by their environment."""
    launcher = make('tree')
    launcher.define('kids', '(trap "" TERM; exec sh -c "echo \\$\\$ >@BOX@; while :; do sleep 1000; done") & exec sleep 1000')
    a = launcher.start().run('kids')
    pid = int(launcher.line())
    supervisor = a.supervisor()
    assert launcher.leave() == 0
    launcher.start()
    os.kill(supervisor, signal.SIGKILL)
    assert a.end() is None
    assert launcher.ask(KILL, a).result == 0
    assert not alive(pid)
