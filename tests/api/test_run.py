"""jobbers-run: the launcher driven directly, without a daemon (launch/wire.h, SPEC 2, 4, 5)."""
import json
import os
import pwd
import re
import select
import signal
import socket
import stat
import subprocess
import time

import pytest

from run_harness import (CROCKFORD, FORGET, HOLDERS, HOLDS_CGROUP, KILL, RELOAD, RUN, SIGNAL, SLICE, START, Launcher, Listening, alive, children,
                         until)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='drives a launcher that is root')
EVERY = list(HOLDERS)
WAIT = 'read -r x </dev/zero & exec sleep 1000'


@pytest.fixture
def make(request):
    made = []

    def new(holder='cgroup', **kw):
        launcher = Launcher(holder, **kw)
        made.append(launcher)
        return launcher

    yield new
    for launcher in made:
        if launcher.process and 'ERROR: AddressSanitizer' in launcher.log():
            print(launcher.log())
        launcher.close()


@pytest.fixture
def launcher(make):
    return make()


@pytest.fixture(params=EVERY)
def anywhere(request, make):
    """A launcher for each way of holding attempts."""
    return make(request.param)


class Journald:
    """A played one: its sockets are /run/systemd/journal for a launcher, and read only when it is told to."""

    def __init__(self, launcher):
        d = os.path.join(launcher.tmp, 'journal')
        os.mkdir(d)
        self.stream, self.messages = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.stream.bind(os.path.join(d, 'stdout'))
        self.stream.listen()
        self.messages.bind(os.path.join(d, 'socket'))
        launcher.prefix = ['unshare', '--mount', 'sh', '-c', 'mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && '
                           f'mkdir /run/systemd/journal && mount --bind {d} /run/systemd/journal && exec "$@"', 'sh']

    def read(self, patience):
        """The next entry, as a dictionary; None if there is none."""
        if not select.select([self.messages], [], [], patience)[0]:
            return None
        return dict(line.split('=', 1) for line in self.messages.recv(65536).decode().splitlines() if '=' in line)


# ── the gate ──

def test_gate_closed_leaves_no_trace(anywhere):
    anywhere.define('ok', 'echo ran >@BOX@')
    a = anywhere.start().run('ok', go=False)
    until(lambda: os.path.exists(os.path.join(a.dir, 'control')), 'the attempt waits at its gate')
    assert not a.started_exists
    a.channel.shutdown(socket.SHUT_WR)
    assert a.end() is None
    assert a.traces() == []


def test_gate_opens_later(launcher):
    launcher.define('ok', 'exit 0')
    a = launcher.start().run('ok', go=False)
    until(lambda: os.path.exists(os.path.join(a.dir, 'control')), 'the attempt waits at its gate')
    a.say('GO=1\n')
    assert a.end()['END_REASON'] == 'exit'


def test_stop_before_go_runs_nothing(launcher):
    launcher.define('ok', 'echo ran >@BOX@')
    a = launcher.start().run('ok', go=False)
    a.say('STOP=cancelled\n')
    assert a.end() is None and a.traces() == []


# ── one run ──

def test_exit_zero(anywhere):
    anywhere.define('ok', 'cat >"$JOBBERS_RESULT"')
    a = anywhere.start().run('ok', '{"n": 1}')
    before = time.time()
    r = a.end()
    assert (r['END_REASON'], r['EXIT_STATUS']) == ('exit', '0')
    assert json.loads(r['result']) == {'n': 1}
    assert r['TASK'] == a.id and r['ATTEMPT'] == '1'
    assert before - 5 < int(r['STARTED_AT']) / 1e6 <= int(r['ENDED_AT']) / 1e6 < time.time() + 5
    assert not a.started_exists
    assert a.log() is None, 'a log without output'
    assert not os.path.exists(a.dir), 'the supervisor cleans up'


def test_exit_status(anywhere):
    anywhere.define('no', 'exit 75')
    r = anywhere.start().run('no').end()
    assert (r['END_REASON'], r['EXIT_STATUS']) == ('exit', '75')


def test_killed_by_a_signal(anywhere):
    anywhere.define('ouch', 'kill -KILL $$')
    r = anywhere.start().run('ouch').end()
    assert (r['END_REASON'], r['TERM_SIGNAL']) == ('signal', '9')


def test_cannot_be_run(anywhere):
    anywhere.define('gone', '', ExecStart='/bin/true')
    anywhere.start()
    # Installed and loaded, then gone: the definition stays in force.
    anywhere.define('bad', 'exit 0')
    anywhere.ask_names()
    a = anywhere.run('bad')
    assert a.end()['EXIT_STATUS'] == '0'
    os.unlink(os.path.join(anywhere.tmp, 'bad-0.sh'))
    r = anywhere.run('bad').end()
    assert (r['END_REASON'], r['EXIT_STATUS']) == ('exit', '203')
    assert 'cannot run ' in r['ERROR'] and 'No such file' in r['ERROR']


def test_working_directory_missing(launcher):
    launcher.define('x', 'exit 0', WorkingDirectory='/nowhere/at/all')
    r = launcher.start().run('x').end()
    assert r['EXIT_STATUS'] == '200' and '/nowhere/at/all' in r['ERROR']


HANGING = """
import ctypes, os, struct, sys
at, reads = sys.argv[1], sys.argv[2] == 'reads'
fd = os.open('/dev/fuse', os.O_RDWR)
options = f'fd={fd},rootmode=40755,user_id=0,group_id=0,allow_other'
if ctypes.CDLL(None).mount(b'hanging', at.encode(), b'fuse', 0, options.encode()) < 0:
    sys.exit(77)
if reads:
    unique = struct.unpack_from('=IIQ', os.read(fd, 65536))[2]
    os.write(fd, struct.pack('=IiQ', 80, 0, unique) + struct.pack('=IIIIHHIIHH32x', 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0))
print('mounted', flush=True)
while reads:
    os.read(fd, 65536)
sys.stdin.read()
"""


@pytest.fixture(params=['reads', 'reads nothing'])
def hanging(request, launcher):
    """A directory on a file system that does not answer, and what ends that."""
    path = os.path.join(launcher.tmp, 'hanging')
    os.mkdir(path)
    server = subprocess.Popen(['/usr/bin/python3', '-c', HANGING, path, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if server.stdout.readline() != b'mounted\n':
        pytest.skip('no FUSE here')
    yield path, server.kill
    server.kill()
    server.communicate()
    subprocess.run(['umount', '-l', path], check=True)


@pytest.mark.parametrize('setting, reason', [('TimeoutSec', 'timeout'), ('MaxHeartbeatIntervalSec', 'stalled'), (None, 'cancelled')])
def test_working_directory_that_does_not_answer(launcher, hanging, setting, reason):
    """Its supervisor goes on, and ends it as ever; which takes effect when the kernel lets go of it."""
    directory, let_go = hanging
    launcher.define('x', 'echo ran >@BOX@', WorkingDirectory=directory, **({setting: '300ms'} if setting else {}))
    a = launcher.start().run('x')
    if setting:
        assert a.note('STOPPING') == reason, 'in time'
    else:
        [supervisor] = until(lambda: supervisors(launcher), 'its supervisor')
        until(lambda: children(supervisor), 'its process')
        assert a.supervisor() == supervisor, 'it answers'
        a.notes = []
        a.say('STOP=cancelled\n')
        a.say('HELLO=1\n')
        a.note('STATE')         # so it has heard what came before
    let_go()
    assert a.end()['END_REASON'] == reason


def test_output_in_one_file(anywhere):
    anywhere.define('talk', 'echo out; echo err >&2; echo again')
    a = anywhere.start().run('talk')
    a.end()
    assert a.log() == b'out\nerr\nagain\n'
    st = os.stat(os.path.join(anywhere.log_dir, a.id + '.log'))
    assert st.st_uid == (pwd.getpwnam('jobbers').pw_uid if anywhere.uid == 0 else anywhere.uid)
    assert stat.S_IMODE(st.st_mode) == 0o640
    # a second attempt goes on in the same file, and says so
    b = anywhere.run('talk', raw=a.raw, attempt=2)
    b.end()
    assert b.log() == b'out\nerr\nagain\n-- jobbers: attempt 2 --\nout\nerr\nagain\n'


def test_output_by_name(anywhere):
    """As scripts write it. It does not read there by mistake what it has printed."""
    anywhere.define('talk', 'echo out >/dev/stdout; echo err >/dev/stderr; (: </dev/stdout) 2>/dev/null || echo no reading')
    a = anywhere.start().run('talk')
    assert a.end()['EXIT_STATUS'] == '0'
    assert a.log() == b'out\nerr\n' + (b'no reading\n' if anywhere.uid == 0 else b'')


def test_log_is_complete_when_the_record_is_there(launcher):
    launcher.define('flood', 'i=0; while [ $i -lt 2000 ]; do echo "line $i of a log that has to be whole in the end"; i=$((i+1)); done')
    a = launcher.start().run('flood')
    a.end()
    assert a.log().count(b'\n') == 2000


def test_log_is_capped(make):
    launcher = make(flags=['--max-log=64K'])
    launcher.define('flood', 'seq -f "%06.0f" 100000; exit 3')
    a = launcher.start().run('flood')
    assert a.end()['EXIT_STATUS'] == '3'
    log = a.log()
    assert len(log) <= 64 * 1024 + 100
    first, rest = log.split(b'\n', 1)
    assert first.startswith(b'-- jobbers: the oldest ') and first.endswith(b' bytes of this log were cut --')
    cut = int(first.split()[4])
    assert cut + len(rest) == 700000
    assert rest.endswith(b'100000\n') and rest.startswith(b'%06d\n' % (cut // 7 + 1))


def test_log_directory_cannot_lead_away(launcher):
    """The log directory is the daemon's: a link there must not make root write elsewhere."""
    launcher.define('talk', 'echo text')
    launcher.start()
    target = os.path.join(launcher.tmp, 'target')
    raw = b'\x01' + os.urandom(15)
    a = launcher.run('talk', raw=raw, go=False)
    os.symlink(target, os.path.join(launcher.log_dir, a.id + '.log'))
    a.say('GO=1\n')
    assert a.end()['EXIT_STATUS'] == '0', 'a log that cannot be written does not stop a task'
    assert not os.path.exists(target)


def test_a_journald_that_does_not_read_stops_no_supervisor(launcher):
    journald = Journald(launcher)
    talk = 'while :; do echo line; done'
    launcher.define('late', talk, TimeoutSec='1s')
    launcher.define('silent', talk, MaxHeartbeatIntervalSec='1s')
    launcher.define('endless', talk)
    launcher.start()
    begin = time.monotonic()
    late, silent, endless = (launcher.run(name) for name in ('late', 'silent', 'endless'))
    assert late.note('STOPPING', 4) == 'timeout'
    assert silent.note('STOPPING', 4) == 'stalled'
    endless.say('STOP=cancelled\n')
    for a, reason in (late, 'timeout'), (silent, 'stalled'), (endless, 'cancelled'):
        r = a.end()
        assert r['END_REASON'] == reason and r['TERM_SIGNAL'] == '15'
    assert time.monotonic() - begin < 12                        # a second, and five in which journald might have read
    assert re.search(r'[0-9]+ bytes of its output could not be kept', launcher.log())
    assert journald.read(0)['MESSAGE'] == 'line'


def test_nothing_is_lost_to_a_journald_that_reads_late(launcher):
    journald = Journald(launcher)
    launcher.define('count', 'exec seq 30000')
    a = launcher.start().run('count')
    pid = until(lambda: launcher.process.pid and [p for s in children(launcher.process.pid) for p in children(s)], 'the task')[0]
    time.sleep(0.5)
    assert alive(pid)                                           # it waits at its pipe
    said = []
    while (entry := journald.read(1)) is not None:
        if 'MESSAGE' in entry:
            said.append(entry['MESSAGE'])
            assert entry['JOBBERS_TASK_ID'] == a.id and entry['SYSLOG_IDENTIFIER'] == 'count' and entry['PRIORITY'] == '6'
    assert said == [str(i) for i in range(1, 30001)]
    assert a.end()['END_REASON'] == 'exit'
    assert launcher.log() == ''


# ── what it sees ──

def environment_of(launcher, a):
    return dict(e.split('=', 1) for e in json.loads(a['result'])['env'])


PROBE = '''exec /usr/bin/python3 -c '
import json, os, resource, signal
fds = sorted(int(f) for f in os.listdir("/proc/self/fd"))
own = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY); os.close(own)
status = dict(l.split(":", 1) for l in open("/proc/self/status"))
json.dump({"env": [k + "=" + v for k, v in os.environ.items()], "fds": [f for f in fds if f != own], "uid": os.getresuid(), "gid": os.getresgid(),
  "groups": os.getgroups(), "cwd": os.getcwd(), "umask": os.umask(0), "blocked": status["SigBlk"].strip(), "ignored": status["SigIgn"].strip(),
  "sid": os.getsid(0) == os.getpid(), "stdin": os.readlink("/proc/self/fd/0"), "writable": bool(__import__("fcntl").fcntl(0, 3) & 3),
  "limits": {n[7:]: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")},
  "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "fsize": resource.getrlimit(resource.RLIMIT_FSIZE),
  "caps": status["CapEff"].strip(), "oom": open("/proc/self/oom_score_adj").read().strip(),
  "work": oct(os.stat(os.path.dirname(os.environ["JOBBERS_RESULT"])).st_mode), "args": __import__("sys").argv[1:],
  "parameters": open(os.environ["JOBBERS_PARAMETERS"]).read()}, open(os.environ["JOBBERS_RESULT"], "w"))' "$@"
'''


def test_environment_is_exactly_this(anywhere):
    anywhere.define('probe', PROBE, version=3)
    a = anywhere.start().run('probe', '{"a": "b"}', version=3, retry=2, attempt=4, queue='slow')
    r = a.end()
    seen = json.loads(r['result'])
    env = dict(e.split('=', 1) for e in seen['env'])
    user = pwd.getpwuid(anywhere.uid) if anywhere.uid else pwd.getpwnam('jobbers-task')
    # sh adds PWD, python may set LC_CTYPE
    for extra in ('PWD', 'OLDPWD', 'SHLVL', '_', 'LC_CTYPE'):
        env.pop(extra, None)
    assert env == {
        'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': user.pw_dir, 'USER': user.pw_name, 'LANG': 'C.UTF-8',
        'JOBBERS_TASK_ID': a.id, 'JOBBERS_TASK_NAME': 'probe', 'JOBBERS_TASK_VERSION': '3', 'JOBBERS_QUEUE': 'slow', 'JOBBERS_ATTEMPT': '4',
        'JOBBERS_RETRY_ATTEMPT': '2', 'JOBBERS_PARAMETERS': a.dir + '/work/parameters', 'JOBBERS_RESULT': a.dir + '/work/result',
        'NOTIFY_SOCKET': env['NOTIFY_SOCKET'],
    }
    assert env['NOTIFY_SOCKET'] == a.dir + '/notify' or env['NOTIFY_SOCKET'].startswith('@')
    assert seen['fds'] == [0, 1, 2]
    assert seen['uid'] == [user.pw_uid] * 3 and seen['gid'] == [user.pw_gid] * 3
    assert seen['cwd'] == '/' and seen['umask'] == 0o022
    assert seen['blocked'] == '0' * 16 and int(seen['ignored'], 16) & ~0x1001000 == 0   # python ignores SIGPIPE and SIGXFSZ itself
    assert seen['sid'] and seen['stdin'] == os.path.realpath(a.dir) + '/work/parameters' and not seen['writable']
    assert seen['work'] == '0o40700' and seen['parameters'] == '{"a": "b"}'
    assert seen['oom'] == '0'
    if anywhere.uid == 0:
        assert seen['groups'] == [] or seen['groups'] == [user.pw_gid]
        assert seen['caps'] == '0' * 16


def test_limits_of_the_daemon_do_not_leak(make):
    import resource
    launcher = make()
    launcher.define('probe', PROBE)

    def lower():
        # the soft ones: containers may lack the right to raise a hard limit again
        for which, soft in ((resource.RLIMIT_NOFILE, 300), (resource.RLIMIT_FSIZE, 10 ** 9), (resource.RLIMIT_NPROC, 777), (resource.RLIMIT_SIGPENDING, 99),
                            (resource.RLIMIT_MEMLOCK, 12288), (resource.RLIMIT_MSGQUEUE, 4096), (resource.RLIMIT_RTTIME, 10 ** 6)):
            resource.setrlimit(which, (soft, resource.getrlimit(which)[1]))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        os.umask(0o777)
    launcher.start(preexec_fn=lower)
    seen = json.loads(launcher.run('probe').end()['result'])
    assert seen['nofile'][0] == 1024 and seen['fsize'][0] == resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    with open('/proc/sys/kernel/threads-max') as f:
        most = int(f.read()) // 2
    for which, fresh in (('NPROC', most), ('SIGPENDING', most), ('MEMLOCK', 8 << 20), ('MSGQUEUE', 819200), ('RTTIME', resource.RLIM_INFINITY), ('NICE', 0),
                         ('RTPRIO', 0)):
        assert seen['limits'][which][0] in (fresh, resource.getrlimit(getattr(resource, 'RLIMIT_' + which))[1]), which
    assert seen['blocked'] == '0' * 16 and int(seen['ignored'], 16) & ~0x1001000 == 0
    assert seen['umask'] == 0o022


def test_definition_shapes_the_process(launcher):
    env_file = os.path.join(launcher.tmp, 'env')
    with open(env_file, 'w') as f:
        f.write('# comment\nA=from file\nB="quoted # value"\nJOBBERS_QUEUE=forged\n')
    launcher.define('probe', PROBE, User='daemon', Group='adm', WorkingDirectory='/usr', UMask='0077', Environment='A=first C=c "D=d e" PATH=/bin',
                    EnvironmentFile=f'{env_file}', MaxHeartbeatIntervalSec='1min', more='[Resources]\nLimitNOFILE=512:2048\n')
    seen = json.loads(launcher.start().run('probe').end()['result'])
    env = dict(e.split('=', 1) for e in seen['env'])
    assert (env['A'], env['B'], env['C'], env['D'], env['PATH']) == ('from file', 'quoted # value', 'c', 'd e', '/bin')
    assert env['JOBBERS_QUEUE'] == 'default' and env['WATCHDOG_USEC'] == '60000000' and env['USER'] == 'daemon'
    daemon = pwd.getpwnam('daemon')
    import grp
    assert seen['uid'] == [daemon.pw_uid] * 3 and seen['gid'] == [grp.getgrnam('adm').gr_gid] * 3
    assert seen['cwd'] == '/usr' and seen['umask'] == 0o077 and seen['nofile'] == [512, 2048]


def test_environment_file_missing(launcher):
    launcher.define('x', 'exit 0', EnvironmentFile='/nowhere/env')
    launcher.define('y', 'exit 0', EnvironmentFile='-/nowhere/env')
    launcher.start()
    r = launcher.run('x').end()
    assert '/nowhere/env' in r['ERROR']
    assert (r['END_REASON'], r['EXIT_STATUS'], r['TERM_SIGNAL']) == ('exit', '-1', '0'), 'nothing was executed'
    assert launcher.run('y').end()['EXIT_STATUS'] == '0'


def test_environment_file_with_an_open_quote(launcher):
    """What follows would be lost: better not to run."""
    env_file = os.path.join(launcher.tmp, 'env')
    with open(env_file, 'w') as f:
        f.write("A=it's fine here\nB='but not here\nC=1\n")
    launcher.define('x', 'echo ran >@BOX@', EnvironmentFile=env_file)
    r = launcher.start().run('x').end()
    assert r['ERROR'] == f'the environment file {env_file} cannot be used: the quote that opens in line 2 is never closed'


def test_root_only_where_the_definition_says_so(launcher):
    launcher.define('root', PROBE, User='root')
    launcher.define('other', PROBE)
    launcher.start()
    assert json.loads(launcher.run('root').end()['result'])['uid'] == [0, 0, 0]
    assert json.loads(launcher.run('other').end()['result'])['uid'][0] == pwd.getpwnam('jobbers-task').pw_uid


# ── nothing outlives it ──

DAEMONIZE = '''/usr/bin/python3 -c '
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write("up\\n")
        time.sleep(1000)
    os._exit(0)
os.wait()' %s MARKER'''


def test_daemons_end_with_their_task(anywhere):
    """Double fork, own session: it still ends when its task does."""
    anywhere.define('parent', DAEMONIZE.replace('MARKER', '$1') % '@BOX@' + '\nread -r x <@TMP@/gate', ExecStart=os.path.join(
        anywhere.tmp, 'parent-0.sh') + ' marker-%d' % os.getpid(), KillGraceSec='30')
    gate = os.path.join(anywhere.tmp, 'gate')
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    a = anywhere.start().run('parent')
    assert anywhere.line() == 'up'
    pid = anywhere.host_pid(a, 'marker-%d' % os.getpid())
    assert alive(pid)
    with open(gate, 'w') as f:
        f.write('go\n')
    r = a.end()
    assert (r['END_REASON'], r['EXIT_STATUS']) == ('exit', '0')
    assert not alive(pid)


# Takes note of SIGTERM and stays. It waits for the signal: a handler's flag set just before a sleep would be seen after it.
STUBBORN = '''/usr/bin/python3 -c '
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
open(sys.argv[1], "w").write("up\\n")
while signal.sigwait([signal.SIGTERM]):
    open(sys.argv[1], "w").write("term\\n")' @BOX@'''


def test_leftovers_get_the_kill_sequence(anywhere):
    anywhere.define('parent', f'{STUBBORN} &\nread -r x <@TMP@/gate', KillGraceSec='300ms')
    gate = os.path.join(anywhere.tmp, 'gate')
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    a = anywhere.start().run('parent')
    assert anywhere.line() == 'up'
    with open(gate, 'w') as f:
        f.write('go\n')
    assert anywhere.line() == 'term'
    assert a.end()['EXIT_STATUS'] == '0'


def test_cancel_then_sigkill(anywhere):
    anywhere.define('stubborn', f'exec {STUBBORN}', KillGraceSec='300ms')
    a = anywhere.start().run('stubborn')
    assert anywhere.line() == 'up'
    begin = time.monotonic()
    a.say('STOP=cancelled\n')
    assert anywhere.line() == 'term'
    r = a.end()
    assert r['END_REASON'] == 'cancelled' and r['TERM_SIGNAL'] == '9'
    assert 0.3 <= time.monotonic() - begin < 5


def test_cancel_is_heard(anywhere):
    anywhere.define('polite', 'trap "exit 7" TERM; echo up >@BOX@; while :; do sleep 1000 & wait; done')
    a = anywhere.start().run('polite')
    assert anywhere.line() == 'up'
    a.say('STOP=cancelled\n')
    r = a.end()
    assert (r['END_REASON'], r['EXIT_STATUS']) == ('cancelled', '7')


def test_first_reason_wins(launcher):
    launcher.define('stubborn', f'exec {STUBBORN}', KillGraceSec='300ms')
    a = launcher.start().run('stubborn')
    assert launcher.line() == 'up'
    a.say('STOP=shutdown\n')
    a.say('STOP=cancelled\n')
    assert a.end()['END_REASON'] == 'shutdown'


def test_kill_signal_and_stopped_processes(launcher):
    launcher.define('x', 'trap "exit 9" USR1; echo up >@BOX@; kill -STOP $$; while :; do sleep 1000 & wait; done', KillSignal='SIGUSR1')
    a = launcher.start().run('x')
    assert launcher.line() == 'up'
    a.say('STOP=cancelled\n')
    assert a.end()['EXIT_STATUS'] == '9'


def test_kill_mode_control_group_reaches_all(anywhere):
    anywhere.define('two', 'trap "" TERM; (trap "echo child >@BOX@; exit 0" TERM; echo up >@BOX@; while :; do sleep 1000 & wait; done) & wait; wait; exit 4')
    a = anywhere.start().run('two')
    assert anywhere.line() == 'up'
    a.say('STOP=cancelled\n')
    assert anywhere.line() == 'child'
    assert a.end()['END_REASON'] == 'cancelled'


def test_kill_mode_mixed(anywhere):
    """The signal for main alone; SIGKILL for the rest as soon as main has ended."""
    anywhere.define('two', f'{STUBBORN} &\ntrap "exit 5" TERM; while :; do sleep 1000 & wait; done', KillMode='mixed', KillGraceSec='1h')
    a = anywhere.start().run('two')
    assert anywhere.line() == 'up'
    a.say('STOP=cancelled\n')
    r = a.end()
    assert (r['END_REASON'], r['EXIT_STATUS']) == ('cancelled', '5')
    assert anywhere.box_rest == b'' and not anywhere_readable(anywhere), 'a child was signalled'


def anywhere_readable(launcher):
    try:
        launcher.box_rest += os.read(launcher.box, 65536)
    except BlockingIOError:
        pass
    return launcher.box_rest != b''


def test_fork_bomb_ends(launcher):
    launcher.define('bomb', 'trap "" TERM; echo up >@BOX@; f() { i=0; while [ $i -lt 30 ]; do (trap "" TERM; sleep 1000) & i=$((i+1)); done; wait; }; f & f & f & wait',
                    KillGraceSec='100ms')
    a = launcher.start().run('bomb')
    assert launcher.line() == 'up'
    cgroup = launcher.cgroup(a)
    a.say('STOP=cancelled\n')
    assert a.end()['END_REASON'] == 'cancelled'
    assert not os.path.exists(cgroup)


# ── time ──

def test_timeout(anywhere):
    anywhere.define('slow', 'exec sleep 1000', TimeoutSec='300ms')
    begin = time.monotonic()
    a = anywhere.start().run('slow')
    r = a.end()
    assert r['END_REASON'] == 'timeout' and r['TERM_SIGNAL'] == '15'
    assert ('STOPPING', 'timeout') in a.notes
    assert time.monotonic() - begin < 5


NOTIFY = '''exec /usr/bin/python3 -c '
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
a = os.environ["NOTIFY_SOCKET"]
s.connect("\\0" + a[1:] if a[0] == "@" else a)
%s' @BOX@'''


def test_timeout_is_extended(anywhere):
    anywhere.define('slow', NOTIFY % 's.send(b"EXTEND_TIMEOUT_USEC=60000000"); time.sleep(1.8)', TimeoutSec='1500ms')
    assert anywhere.start().run('slow').end()['END_REASON'] == 'exit'


def test_an_extended_timeout_expires_too(anywhere):
    anywhere.define('slower', NOTIFY % 's.send(b"EXTEND_TIMEOUT_USEC=700000"); time.sleep(1000)', TimeoutSec='400ms')
    r = anywhere.start().run('slower').end()
    assert r['END_REASON'] == 'timeout' and 700_000 <= int(r['ALLOWED_USEC']) < 60_000_000, r


def test_stalled(anywhere):
    anywhere.define('quiet', NOTIFY % 's.send(b"WATCHDOG=1"); time.sleep(1000)', MaxHeartbeatIntervalSec='500ms')
    a = anywhere.start().run('quiet')
    assert int(a.note('BEAT')) > 0
    r = a.end()
    assert r['END_REASON'] == 'stalled' and ('STOPPING', 'stalled') in a.notes
    assert int(r['HEARTBEAT_AT']) >= int(a.note('BEAT'))


def test_heartbeats_keep_it_alive(anywhere):
    anywhere.define('busy', NOTIFY % 'for i in range(12): s.send(b"WATCHDOG=1\\nX_JOBBERS_PROGRESS=%d" % i); time.sleep(0.1)',
                    MaxHeartbeatIntervalSec='500ms')
    r = anywhere.start().run('busy').end()
    assert (r['END_REASON'], r['PROGRESS']) == ('exit', '11')


# ── notes ──

def test_status_and_progress(anywhere):
    anywhere.define('talk', NOTIFY % 's.send("STATUS=halfway ü\\nX_JOBBERS_PROGRESS=50".encode())')
    a = anywhere.start().run('talk')
    assert a.note('STATUS') == 'halfway ü' and a.note('PROGRESS') == '50'
    r = a.end()
    assert r['STATUS_TEXT'] == 'halfway ü' and r['PROGRESS'] == '50'


def test_last_words_are_heard(launcher):
    """A task that reports and ends at once."""
    launcher.define('talk', NOTIFY % 's.send(b"STATUS=bye"); os._exit(0)')
    launcher.start()
    for _ in range(20):
        assert launcher.run('talk').end()['STATUS_TEXT'] == 'bye'


def test_notes_are_coalesced(launcher):
    launcher.define('talk', NOTIFY % 'for i in range(2000): s.send(b"X_JOBBERS_PROGRESS=%d" % (i % 100))')
    a = launcher.start().run('talk')
    begin = time.monotonic()
    assert a.end()['PROGRESS'] == '99'
    assert len([n for n in a.notes if n[0] == 'PROGRESS']) <= 10 * (time.monotonic() - begin) + 2


def test_systemd_notify_from_a_shell(anywhere):
    """With BARRIER=1: the descriptor must be closed, else it waits five seconds."""
    anywhere.define('talk', 'systemd-notify WATCHDOG=1; systemd-notify --status=hello')
    begin = time.monotonic()
    r = anywhere.start().run('talk').end()
    assert r['EXIT_STATUS'] == '0' and r['STATUS_TEXT'] == 'hello'
    assert time.monotonic() - begin < 4


def test_forged_notifications_are_ignored(anywhere):
    anywhere.define('quiet', 'echo up >@BOX@; read -r x <@TMP@/gate')
    gate = os.path.join(anywhere.tmp, 'gate')
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    a = anywhere.start().run('quiet')
    assert anywhere.line() == 'up'
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if os.path.exists(a.dir + '/notify'):
        fd = os.open(a.dir, os.O_PATH)
        s.connect(f'/proc/self/fd/{fd}/notify')
        s.send(b'STATUS=forged\nX_JOBBERS_PROGRESS=66')
    with open(gate, 'w') as f:
        f.write('go\n')
    r = a.end()
    assert r['EXIT_STATUS'] == '0' and 'STATUS_TEXT' not in r and r.get('PROGRESS', '-1') == '-1'


# ── results ──

@pytest.mark.parametrize('script, word', [
    ('ln -s /etc/passwd "$JOBBERS_RESULT"', 'link'),
    ('mkfifo "$JOBBERS_RESULT"', 'regular'),
    ('mkdir "$JOBBERS_RESULT"', 'regular'),
    ('exec python3 -c "import os, socket; socket.socket(socket.AF_UNIX).bind(os.environ[\'JOBBERS_RESULT\'])"', 'regular'),
    ('echo "{}" >"$JOBBERS_RESULT"; ln "$JOBBERS_RESULT" "$(dirname "$JOBBERS_RESULT")/other"', 'hard link'),
    ('head -c 2000000 /dev/zero >"$JOBBERS_RESULT"', 'larger'),
])
def test_results_that_are_not_taken(anywhere, script, word):
    anywhere.define('x', script)
    r = anywhere.start().run('x').end()
    assert (r['END_REASON'], r['EXIT_STATUS'], r['result']) == ('exit', '0', b'')
    assert word in r['ERROR'], r['ERROR']


def test_result_of_another_owner(launcher):
    launcher.define('x', 'ln /etc/hostname "$JOBBERS_RESULT" 2>/dev/null || exec cp /dev/null "$JOBBERS_RESULT"')
    launcher.define('y', 'echo "{}" >"$JOBBERS_RESULT"; chown 1:1 "$JOBBERS_RESULT"', User='root')
    launcher.start()
    r = launcher.run('y').end()
    assert r['result'] == b'' and 'belongs to uid 1' in r['ERROR']


def test_a_result_that_is_mounted(launcher):
    """Who serves a file system answers when he likes: nobody waits for that."""
    launcher.define('x', 'echo "{}" >"$JOBBERS_RESULT"; echo up >@BOX@; read -r x <@TMP@/gate')
    os.mkfifo(launcher.tmp + '/gate')
    a = launcher.start().run('x')
    assert launcher.line() == 'up'
    subprocess.run(['mount', '--bind', '/etc/hostname', a.dir + '/work/result'], check=True)
    try:
        with open(launcher.tmp + '/gate', 'w') as f:
            f.write('\n')
        record = a.end()
        assert record['result'] == b'' and 'is on another file system' in record['ERROR']
    finally:
        subprocess.run(['umount', a.dir + '/work/result'], check=True)
    assert launcher.ask(FORGET, a).result == 0 and a.traces() == []


def test_work_directory_is_removed_with_all_in_it(launcher):
    launcher.define('x', 'cd "$(dirname "$JOBBERS_RESULT")"; mkdir -p a/b/c; touch a/b/c/d; ln -s / a/root; chmod 0 a/b; rm -f parameters')
    a = launcher.start().run('x')
    assert a.end()['EXIT_STATUS'] == '0'
    assert not os.path.exists(a.dir) and os.path.exists('/etc/passwd')


# ── without a daemon ──

def test_goes_on_alone(anywhere):
    """The daemon and the launcher are gone; the next daemon adopts it by its control socket."""
    anywhere.define('long', 'echo up >@BOX@; echo text; read -r x <@TMP@/gate; echo "{\\"a\\": 1}" >"$JOBBERS_RESULT"')
    gate = os.path.join(anywhere.tmp, 'gate')
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    a = anywhere.start().run('long')
    assert anywhere.line() == 'up'
    a.channel.close()
    assert anywhere.leave() == 0
    pid = a.supervisor()
    assert alive(pid)
    notes = dict(a.notes)
    assert notes['STATE'] == 'running' and notes['TASK'] == a.id and notes['ATTEMPT'] == '1'
    with open(f'/proc/{pid}/stat') as f:
        assert f.read().rsplit(')', 1)[1].split()[19] == notes['STARTTIME']
    with open(gate, 'w') as f:
        f.write('go\n')
    r = a.end()
    assert json.loads(r['result']) == {'a': 1} and a.log() == b'text\n'


def test_deadlines_hold_without_a_daemon(anywhere):
    anywhere.define('slow', 'echo up >@BOX@; exec sleep 1000', TimeoutSec='400ms')
    a = anywhere.start().run('slow')
    assert anywhere.line() == 'up'
    a.channel.close()
    anywhere.leave()
    assert until(a.record, 'the record')['END_REASON'] == 'timeout'
    until(lambda: not os.path.exists(a.dir), 'the supervisor cleans up')


def test_control_connections(launcher):
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long')
    assert launcher.line() == 'up'
    first = a.channel
    a.channel = None
    a.supervisor()
    assert first.recv(10) == b'', 'a newer connection replaces the older one'
    assert stat.S_IMODE(os.stat(a.dir + '/control').st_mode) == 0o660
    # a stranger's connection is closed at once, and replaces nobody
    os.chmod(a.dir + '/control', 0o666)
    code = f'''
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect({a.dir + "/control"!r})
try:
    s.send(b"STOP=cancelled\\n"); r = s.recv(10)
except (ConnectionResetError, BrokenPipeError):
    r = b""
sys.exit(0 if r == b"" else 1)'''
    assert subprocess.run(['/usr/bin/python3', '-c', code], user=ORDINARY_UID, group=ORDINARY_UID, extra_groups=[]).returncode == 0
    a.say('STOP=shutdown\n')
    assert a.end()['END_REASON'] == 'shutdown'


ORDINARY_UID = 65534


def test_terminal_and_shutdown_signals_do_not_reach_the_supervisor(launcher):
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long')
    assert launcher.line() == 'up'
    pid = a.supervisor()
    assert os.getsid(pid) == pid
    for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1):
        os.kill(pid, s)
    a.notes = []
    a.say('HELLO=1\n')
    assert a.note('STATE') == 'running'
    a.say('STOP=cancelled\n')
    assert a.end()['END_REASON'] == 'cancelled'


# ── the supervisor is killed ──

def test_killed_supervisor_leaves_evidence(launcher):
    launcher.define('long', 'trap "" TERM; setsid sleep 1000 & echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long')
    assert launcher.line() == 'up'
    os.kill(a.supervisor(), signal.SIGKILL)
    assert a.end() is None and a.started_exists
    cgroup = launcher.cgroup(a)
    with open(cgroup + '/cgroup.procs') as f:
        pids = [int(p) for p in f.read().split()]
    assert len(pids) == 2 and all(alive(p) for p in pids)
    assert launcher.ask(SIGNAL, a, sig=signal.SIGTERM).result == 0
    assert all(alive(p) for p in pids), 'they ignore it'
    assert launcher.ask(KILL, a).result == 0
    assert not any(alive(p) for p in pids) and not os.path.exists(cgroup)
    assert launcher.ask(KILL, a).result == 0, 'may be asked again'
    assert launcher.ask(FORGET, a).result == 0
    assert a.traces() == []


def test_killed_supervisor_ends_the_namespace(make):
    launcher = make('pidns')
    launcher.define('long', 'setsid sleep 1000 & echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long')
    assert launcher.line() == 'up'
    pid = a.supervisor()
    namespace = os.readlink(f'/proc/{pid}/ns/pid_for_children')

    def is_in(p):
        try:
            return os.readlink(f'/proc/{p}/ns/pid') == namespace
        except OSError:
            return False
    held = [p for p in map(int, filter(str.isdigit, os.listdir('/proc'))) if is_in(p)]
    assert len(held) == 3      # init, main, its child
    os.kill(pid, signal.SIGKILL)
    assert a.end() is None and a.started_exists
    until(lambda: not any(alive(p) for p in held), 'the end of the namespace')
    assert launcher.ask(KILL, a).result == 0


# ── requests ──

def test_refusals(launcher):
    launcher.define('ok', 'exit 0')
    launcher.start()
    good = dict(name='ok', queue='default', hash=launcher.hashes['ok', 0])

    def start(fds=None, **kw):
        memory = os.memfd_create('p')
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        args = {**good, 'raw': os.urandom(16), 'number': 1, **kw}
        r = launcher.ask(START, fds=[memory, theirs.fileno()] if fds is None else fds(memory, theirs.fileno()), **args)
        os.close(memory)
        theirs.close()
        assert ours.recv(10) == b'', 'the end of the channel follows'
        ours.close()
        return r

    import errno
    assert start(hash=1).result == -errno.ESTALE
    assert start(name='other').result == -errno.ESTALE
    assert start(version=1).result == -errno.ESTALE
    assert start(name='../ok').result == -errno.EINVAL
    assert start(queue='a/b').result == -errno.EINVAL
    assert start(queue='').result == -errno.EINVAL
    assert start(name='x' * 65).result == -errno.EINVAL
    assert start(number=0).result == -errno.EINVAL
    assert start(fds=lambda m, c: []).result == -errno.EINVAL
    assert start(fds=lambda m, c: [m]).result == -errno.EINVAL
    assert start(fds=lambda m, c: [c, m]).result == -errno.EINVAL
    assert start(fds=lambda m, c: [m, m]).result == -errno.EINVAL
    assert launcher.ask(99).result == -errno.EINVAL
    assert launcher.ask(0).result == -errno.EINVAL
    assert launcher.ask(SIGNAL, raw=os.urandom(16), number=1, sig=999).result == -errno.EINVAL
    assert launcher.ask(SLICE, queue='default').result == -errno.EOPNOTSUPP
    assert launcher.ask(FORGET, raw=os.urandom(16), number=7).result == 0
    assert launcher.ask(KILL, raw=os.urandom(16), number=7).result == 0
    launcher.sock.send(b'short')
    launcher.sock.send(bytes(300))
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'


def test_definition_installed_later_and_changed(launcher):
    launcher.define('ok', 'exit 0')
    launcher.start()
    launcher.define('new', 'exit 5')
    launcher.ask_names()
    assert launcher.run('new').end()['EXIT_STATUS'] == '5'
    old = launcher.hashes['new', 0]
    launcher.define('new', 'exit 6', TimeoutSec='1h')
    launcher.ask_names()
    assert launcher.hashes['new', 0] != old
    assert launcher.run('new').end()['EXIT_STATUS'] == '6'


def test_parameters_too_large(make):
    launcher = make(flags=['--max-parameters=1K'])
    launcher.define('ok', 'exit 0')
    a = launcher.start().run('ok', '{"x": "%s"}' % ('x' * 2000))
    assert launcher.reply().result < 0
    assert a.end() is None and a.traces() == []


def test_an_attempt_runs_once(launcher):
    launcher.define('ok', 'echo ran >@BOX@')
    a = launcher.start().run('ok')
    assert a.end()['EXIT_STATUS'] == '0'
    before = os.stat(a.record_path)
    b = launcher.run('ok', raw=a.raw)
    b.end()
    assert os.stat(a.record_path).st_ino == before.st_ino
    assert launcher.line() == 'ran' and not anywhere_readable(launcher)
    assert launcher.ask(FORGET, a).result == 0
    assert a.traces() == []


def test_relaunch_after_a_supervisor_killed_at_its_gate(launcher):
    launcher.define('ok', 'exit 0')
    a = launcher.start().run('ok', go=False)
    until(lambda: os.path.exists(a.dir + '/control'), 'it waits at its gate')
    [pid] = children(launcher.process.pid)
    os.kill(pid, signal.SIGKILL)
    assert a.end() is None and a.traces() == [a.dir]
    assert launcher.run('ok', raw=a.raw).end()['EXIT_STATUS'] == '0'


def test_hello_waits_for_stragglers(make):
    """A start that an earlier daemon sent and that has not come to anything yet holds the next launcher's hello back."""
    first = make()
    first.define('ok', 'exit 0')
    a = first.start().run('ok', go=False)
    until(lambda: os.path.exists(a.dir + '/control'), 'it waits at its gate')
    first.leave()
    second = make(flags=[f for f in first.flags if f.startswith(('--state', '--task'))])
    second.start(wait_hello=False)
    with pytest.raises(AssertionError):
        second.reply(0.2)
    a.hang_up()
    assert second.reply().verb == 0
    first.process = None       # its directories are the second one's


def test_launcher_passes_nothing_to_supervisors(launcher):
    """Else the daemon would not see the launcher's end, nor a new launcher get the lock."""
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long')
    assert launcher.line() == 'up'
    launcher.process.send_signal(signal.SIGKILL)
    launcher.process.wait()
    assert launcher.sock.recv(10) == b''
    launcher.process = None
    pid = a.supervisor()
    links = [os.readlink(f'/proc/{pid}/fd/{f}') for f in os.listdir(f'/proc/{pid}/fd')]
    assert sum(1 for x in links if x.endswith('/records')) == 1, links
    a.say('STOP=cancelled\n')
    assert a.end()['END_REASON'] == 'cancelled'


def test_directories(launcher):
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long', '{"x": 1}')
    assert launcher.line() == 'up'
    jobbers = pwd.getpwnam('jobbers')

    def facts(path):
        st = os.lstat(os.path.realpath(path))
        return oct(stat.S_IMODE(st.st_mode)), st.st_uid, st.st_gid

    task = pwd.getpwnam('jobbers-task')
    assert facts(launcher.attempt_dir) == ('0o711', 0, jobbers.pw_gid)
    assert facts(launcher.record_dir) == ('0o750', 0, jobbers.pw_gid)
    assert facts(launcher.log_dir) == ('0o750', jobbers.pw_uid, jobbers.pw_gid)
    assert facts(os.path.join(launcher.tmp, 'state')) == ('0o700', jobbers.pw_uid, jobbers.pw_gid)
    assert facts(a.dir) == ('0o711', 0, jobbers.pw_gid)
    assert facts(a.dir + '/control') == ('0o660', 0, jobbers.pw_gid)
    assert facts(a.dir + '/work') == ('0o700', task.pw_uid, task.pw_gid)
    assert facts(a.dir + '/work/parameters') == ('0o444', 0, jobbers.pw_gid)
    assert facts(a.record_path + '.started') == ('0o640', 0, jobbers.pw_gid)
    assert os.stat(a.record_path + '.started').st_blocks * 512 >= 4096
    a.say('STOP=cancelled\n')
    a.end()
    assert facts(a.record_path) == ('0o640', 0, jobbers.pw_gid)


def test_many_at_once(anywhere):
    anywhere.define('ok', 'exit 0')
    anywhere.start()
    attempts = [anywhere.run('ok') for _ in range(60)]
    assert [a.end()['EXIT_STATUS'] for a in attempts] == ['0'] * 60
    for a in attempts:
        a.channel.close()
    until(lambda: os.listdir(anywhere.attempt_dir) == [], 'all directories are removed')


# ── supervisors that go on ──

def supervisors(launcher):
    return children(launcher.process.pid)


def test_a_supervisor_takes_another_attempt(launcher):
    launcher.define('probe', PROBE)
    launcher.define('other', PROBE, User='daemon', UMask='0077', WorkingDirectory='/usr', MaxHeartbeatIntervalSec='1min', Environment='A=1',
                    more='[Resources]\nLimitNOFILE=100:200\n')
    launcher.start()
    a = launcher.run('probe')
    first = json.loads(a.end()['result'])
    pids = supervisors(launcher)
    b = launcher.run('other', '{"x": 1}', attempt=3, after=a)
    other = json.loads(b.end()['result'])
    again = json.loads(launcher.run('probe', after=b).end()['result'])
    assert supervisors(launcher) == pids and len(pids) == 1
    assert other['uid'][0] == pwd.getpwnam('daemon').pw_uid and other['cwd'] == '/usr' and other['nofile'] == [100, 200]
    assert 'A=1' in other['env'] and other['parameters'] == '{"x": 1}'

    def same(r):
        own = ('JOBBERS_TASK_ID', 'JOBBERS_PARAMETERS', 'JOBBERS_RESULT', 'NOTIFY_SOCKET')
        return {**r, 'env': sorted(e for e in r['env'] if not e.startswith(own)), 'stdin': None}
    assert same(first) == same(again), 'nothing is left of the attempt between'


def test_the_record_comes_with_the_end(launcher):
    launcher.define('small', 'printf hello >$JOBBERS_RESULT')
    launcher.define('large', 'head -c 20000 /dev/zero | tr "\\0" x >$JOBBERS_RESULT')
    launcher.start()
    a = launcher.run('small')
    record = a.end()
    with open(a.record_path, 'rb') as f:
        assert f.read().rstrip(b'\n') == a.over.rstrip(b'\n') and record['result'] == b'hello'
    b = launcher.run('large', after=a)
    assert len(b.end()['result']) == 20000 and b.over == b'', 'it is only on disk'


def test_the_record_before_becomes_the_next(launcher):
    launcher.define('small', 'printf hello >$JOBBERS_RESULT')
    launcher.define('large', 'head -c 20000 /dev/zero | tr "\\0" x >$JOBBERS_RESULT')
    launcher.start()
    a = launcher.run('small')
    a.end()
    inode = os.stat(a.record_path).st_ino
    b = launcher.run('small', after=a, taken=True)
    assert b.end()['result'] == b'hello'
    assert not os.path.exists(a.record_path) and os.stat(b.record_path).st_ino == inode
    c = launcher.run('large', after=b)
    assert len(c.end()['result']) == 20000 and os.path.exists(b.record_path), 'nobody said that it was taken'
    d = launcher.run('small', after=c, taken=True)
    assert d.end()['result'] == b'hello'
    assert not os.path.exists(c.record_path) and os.stat(d.record_path).st_size == 4096, 'not the file of a large result'


def test_what_a_task_leaves_is_not_for_the_next(launcher):
    see = 'cd "$(dirname "$JOBBERS_RESULT")"; echo $(ls -A) >@BOX@; echo "$(cat parameters)" >@BOX@; '
    launcher.define('result', see + 'echo "{}" >$JOBBERS_RESULT')
    launcher.define('nothing', see)
    launcher.define('files', see + 'mkdir a; echo b >a/b; echo c >.c; chmod 0777 .')
    launcher.start()
    before = None
    for n, name in enumerate(['result', 'nothing', 'files', 'nothing', 'files', 'result']):
        before = launcher.run(name, f'{{"n": {10 ** n}}}', after=before)
        assert before.end()['EXIT_STATUS'] == '0'
        assert launcher.line().split() == ['parameters'] and launcher.line() == f'{{"n": {10 ** n}}}'
    assert len(supervisors(launcher)) == 1


def test_what_a_task_has_passed_on_tells_nothing_of_the_next(launcher):
    """Its standard input and its directory, to somebody who is not of the attempt and stays: he neither reads the parameters of the attempts after it
    nor writes their results."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(launcher.tmp + '/passed')
    os.chmod(launcher.tmp + '/passed', 0o666)
    listener.listen()
    program = launcher.tmp + '/passes'
    with open(program, 'w') as f:
        f.write(f"""#!/usr/bin/python3
import array, os, socket
s = socket.socket(socket.AF_UNIX)
s.connect('{launcher.tmp}/passed')
fds = array.array('i', [0, os.open(os.path.dirname(os.environ['JOBBERS_RESULT']), os.O_RDONLY)])
s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
s.recv(1)
""")
    os.chmod(program, 0o755)
    launcher.define('passes', '', ExecStart=program)
    launcher.define('next', 'echo up >@BOX@; read -r x <@TMP@/gate; exit 0')
    os.mkfifo(launcher.tmp + '/gate')
    launcher.start()
    a = launcher.run('passes', '{"first": 1}')
    peer, _ = listener.accept()
    _, (parameters, directory), _, _ = socket.recv_fds(peer, 1, 2)
    peer.send(b'x')
    assert a.end()['EXIT_STATUS'] == '0'

    def write():
        try:
            os.close(os.open('result', os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=directory))
        except FileNotFoundError:
            return False
        return True
    assert not write()
    b = launcher.run('next', '{"password": "second"}', after=a)
    assert launcher.line() == 'up' and len(supervisors(launcher)) == 1
    assert os.pread(parameters, 100, 0) == b'{"first": 1}' and not write()
    with open(launcher.tmp + '/gate', 'w') as f:
        f.write('\n')
    record = b.end()
    assert record['EXIT_STATUS'] == '0' and not record.get('result')
    for fd in (parameters, directory):
        os.close(fd)
    listener.close()
    peer.close()


def test_a_directory_that_cannot_be_removed(launcher):
    """Its supervisor does not go on: the launcher is asked to forget that attempt, and tries again or says what is left."""
    launcher.define('wait', 'mkdir "$(dirname "$JOBBERS_RESULT")/x"; echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('wait')
    assert launcher.line() == 'up'
    subprocess.run(['mount', '-t', 'tmpfs', 'none', a.dir + '/work/x'], check=True)
    try:
        a.say('STOP=cancelled\n')
        assert a.end()['END_REASON'] == 'cancelled' and a.over is None and os.path.isdir(a.dir)
        assert launcher.ask(FORGET, a).result < 0 and 'its files cannot be removed' in launcher.log()
    finally:
        subprocess.run(['umount', a.dir + '/work/x'], check=True)
    assert launcher.ask(FORGET, a).result == 0 and a.traces() == []


def test_words_to_the_attempt_before_are_not_for_the_next(launcher):
    launcher.define('ok', 'exit 0')
    a = launcher.start().run('ok')
    a.end()
    a.say('STOP=cancelled\n')
    a.say('x' * 100)
    b = launcher.run('ok', after=a)
    assert b.end()['END_REASON'] == 'exit'


def leaves(launcher, a):
    """It ran nothing, left nothing, and ended."""
    assert a.end() is None and a.over is None and a.traces() == []
    until(lambda: supervisors(launcher) == [], 'its end')


@pytest.mark.parametrize('order', [{'hash': 1}, {'attempt': 0}, {'name': 'two', 'hash': None}, {'queue': '../x'}, {'parameters': '{"a": "' + 70000 * 'x' + '"}'}])
def test_orders_that_are_not_taken(make, order):
    """They are the launcher's to refuse, with a sentence: a supervisor that waits leaves, and nothing of it is run."""
    launcher = make(flags=('--max-parameters=65536',))
    launcher.define('ok', 'echo ran >@BOX@')
    launcher.define('two', 'exit 0')
    a = launcher.start().run('ok')
    a.end()
    assert launcher.line() == 'ran'
    hashes = dict(launcher.hashes)
    if order.pop('hash', 0) is None:
        launcher.hashes['two', 0] = hashes['ok', 0]
    elif order == {}:
        order = {'hash': 1}
    leaves(launcher, launcher.run(order.pop('name', 'ok'), after=a, **order))
    launcher.hashes = hashes
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0' and launcher.line() == 'ran'


def test_definitions_that_were_read_again(launcher):
    """A supervisor knows those of its birth, one that an administrator has removed since among them."""
    launcher.define('ok', 'echo ran >@BOX@')
    a = launcher.start().run('ok')
    a.end()
    assert launcher.line() == 'ran'
    [pid] = supervisors(launcher)
    os.kill(pid, signal.SIGSTOP)                # so that the order is there before it can leave
    os.unlink(os.path.join(launcher.tasks, 'ok-0.task'))
    assert launcher.ask(RELOAD).result == 0
    b = launcher.run('ok', after=a)
    os.kill(pid, signal.SIGCONT)
    leaves(launcher, b)


def test_an_order_on_its_way_holds_the_next_daemon_back(launcher):
    """A daemon was killed just after it sent a start down a channel: the next one is greeted when that has come to something, or to nothing."""
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    launcher.define('ok', 'exit 0')
    service = Listening(launcher)
    service.connect()
    a, b = launcher.run('ok'), launcher.run('ok')
    a.end(), b.end()
    workers = supervisors(launcher)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    c = launcher.run('long', after=a)
    d = launcher.run('long', after=b, go=False)
    second = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    second.connect(service.path)
    c.channel.close(), d.channel.close(), launcher.sock.close()
    launcher.sock = second
    import select
    assert not select.select([second], [], [], 0.3)[0], 'they may still begin'
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert launcher.reply().verb == 0
    assert c.started_exists and d.traces() == []
    assert launcher.line() == 'up'
    c.supervisor()
    c.say('STOP=cancelled\n')
    assert c.end()['END_REASON'] == 'cancelled'
    service.close()


def test_failures_do_not_spoil_a_supervisor(launcher):
    launcher.define('gone', 'exit 0')
    launcher.define('ok', 'echo text; exit 0')
    launcher.define('slow', 'echo up >@BOX@; exec sleep 1000', TimeoutSec='200ms')
    launcher.start()
    os.unlink(os.path.join(launcher.tmp, 'gone-0.sh'))
    gone = launcher.run('gone')
    assert gone.end()['EXIT_STATUS'] == '203'
    pids = supervisors(launcher)
    a = launcher.run('ok', after=gone)
    assert a.end()['EXIT_STATUS'] == '0' and 'ERROR' not in a.record() and a.log() == b'text\n'
    slow = launcher.run('slow', after=a)
    assert slow.end()['END_REASON'] == 'timeout'
    assert launcher.run('ok', after=slow).end()['END_REASON'] == 'exit'
    assert supervisors(launcher) == pids


def test_an_adopted_supervisor_ends_with_its_attempt(launcher):
    """The daemon holds a pidfd of it."""
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    a = launcher.start().run('long')
    assert launcher.line() == 'up'
    pid = a.supervisor()
    fd = os.pidfd_open(pid)
    a.say('STOP=cancelled\n')
    assert a.end()['END_REASON'] == 'cancelled'
    import select
    assert select.select([fd], [], [], 20)[0]
    os.close(fd)


def test_an_idle_supervisor_is_killed(launcher):
    launcher.define('ok', 'exit 0')
    launcher.start()
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'
    [pid] = supervisors(launcher)
    os.kill(pid, signal.SIGKILL)
    until(lambda: supervisors(launcher) == [], 'its end')
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'


def test_a_kept_cgroup_is_tidied_away(launcher):
    launcher.define('waits', 'echo up >@BOX@; exec sleep 1000')
    launcher.define('ok', 'exit 0')
    launcher.start()
    a = launcher.run('waits')
    assert launcher.line() == 'up'
    cgroup = launcher.cgroup(a)
    with open(cgroup + '/cgroup.procs') as f:
        os.kill(int(f.read()), signal.SIGTERM)
    assert a.end()['END_REASON'] == 'signal'
    os.rmdir(cgroup)                            # it is there, empty, for the next one
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'


def test_idle_supervisors_end_with_the_launcher(launcher):
    launcher.define('ok', 'exit 0')
    launcher.start()
    for a in [launcher.run('ok') for _ in range(5)]:
        a.end()
    pids = supervisors(launcher)
    assert pids
    assert launcher.leave() == 0
    assert not any(alive(p) for p in pids)


def test_an_idle_supervisor_leaves_with_its_channel(launcher):
    launcher.define('ok', 'exit 0')
    a = launcher.start().run('ok')
    a.end()
    assert supervisors(launcher)
    a.channel.close()
    until(lambda: supervisors(launcher) == [] and os.listdir(launcher.attempt_dir) == [], 'its end')


# ── a full disk ──

def small_state(launcher):
    """Its state directory and that of its records are file systems of a megabyte."""
    launcher.ask_names()
    owner = pwd.getpwnam('jobbers') if launcher.uid == 0 else pwd.getpwuid(launcher.uid)
    gid = launcher.gid or owner.pw_gid
    launcher.ballast = {}
    for what, path, uid, mode in (('disk', os.path.join(launcher.tmp, 'state'), owner.pw_uid, '0700'), ('memory', launcher.record_dir, launcher.uid, '0750')):
        os.makedirs(path)
        if launcher.uid:
            os.chown(os.path.dirname(path), launcher.uid, gid)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size=1M,mode={mode},uid={uid},gid={gid}', 'none', path], check=True)
        launcher.ballast[what] = os.path.join(path, '.ballast')
    yield launcher
    for path in launcher.ballast.values():
        subprocess.run(['umount', '-l', os.path.dirname(path)], check=True)


@pytest.fixture
def small(make):
    yield from small_state(make())


@pytest.fixture
def small_anywhere(anywhere):
    yield from small_state(anywhere)


def fill(launcher, *what):
    for path in map(launcher.ballast.get, what or launcher.ballast):
        with open(path, 'wb', buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass


def free(launcher, *what):
    for path in map(launcher.ballast.get, what or launcher.ballast):
        os.unlink(path)


def run_without_space(launcher):
    """An attempt that waits for some before it starts."""
    fill(launcher)
    a = launcher.run('ok')
    until(lambda: 'the host is short of disk space, memory or descriptors; the attempt is not started yet' in launcher.log(), 'it says that it waits')
    return a


def test_full_disk_before_the_start(small_anywhere):
    small_anywhere.define('ok', 'exec >@BOX@; trap "echo ended; exit 0" TERM; echo ran; sleep 1000 & wait')
    small_anywhere.start()
    a = run_without_space(small_anywhere)
    assert not a.started_exists and a.record() is None
    free(small_anywhere)
    assert small_anywhere.line() == 'ran'
    a.say('STOP=cancelled\n')
    assert small_anywhere.line() == 'ended' and a.end()['EXIT_STATUS'] == '0'


def test_full_disk_before_the_start_and_given_up(small_anywhere):
    small_anywhere.define('ok', 'echo ran >@BOX@')
    small_anywhere.start()
    a = run_without_space(small_anywhere)
    a.channel.shutdown(socket.SHUT_WR)
    assert a.end() is None and a.traces() == []


def test_full_disk_at_the_end(small):
    """What fits into the space that was kept is written; what does not goes to the disk, or is waited for."""
    small.define('tiny', 'echo up >@BOX@; read -r x <@TMP@/gate; exit 4')
    small.define('large', 'echo up >@BOX@; read -r x <@TMP@/gate; head -c 100000 /dev/zero | tr "\\0" x >"$JOBBERS_RESULT"; echo text')
    gate = os.path.join(small.tmp, 'gate')
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    small.start()
    a = small.run('tiny')
    assert small.line() == 'up'
    fill(small)
    with open(gate, 'w') as f:
        f.write('go\n')
    assert a.end()['EXIT_STATUS'] == '4'
    free(small)

    for full, goes_to in ((('memory',), 'disk'), (('memory', 'disk'), 'disk'), (('memory', 'disk'), 'memory')):
        a = small.run('large')
        assert small.line() == 'up'
        fill(small, *full)
        told = small.log().count('cannot be written')
        with open(gate, 'w') as f:
            f.write('go\n')
        if 'disk' in full:
            until(lambda: small.log().count('cannot be written') > told, 'it says that it waits')
            assert a.record() is None and a.started_exists
            free(small, goes_to)
        r = a.end()
        assert r['EXIT_STATUS'] == '0' and r['result'] == b'x' * 100000
        assert os.path.exists(a.saved_path) == (goes_to == 'disk') and os.path.exists(a.record_path) == (goes_to == 'memory')
        for what in full:
            if os.path.exists(small.ballast[what]):
                free(small, what)
        assert small.ask(FORGET, a).result == 0
        assert a.traces() == []


# ── started by systemd ──

def test_listening(launcher):
    launcher.define('ok', 'exit 0')
    launcher.define('long', 'echo up >@BOX@; exec sleep 1000')
    service = Listening(launcher)
    assert service.connect().verb == 0
    idle = launcher.run('ok')
    assert idle.end()['EXIT_STATUS'] == '0'
    a = launcher.run('long')
    assert launcher.line() == 'up'
    # the next daemon waits until this one is gone
    import select
    first = launcher.sock
    second = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    second.connect(service.path)
    assert not select.select([second], [], [], 0.3)[0]
    a.channel.close()
    idle.channel.close()
    first.close()
    launcher.sock = second
    assert launcher.reply().verb == 0
    a.supervisor()
    a.say('STOP=cancelled\n')
    assert a.end()['END_REASON'] == 'cancelled'
    assert launcher.ask(FORGET, a).result == 0
    assert launcher.run('ok').end()['EXIT_STATUS'] == '0'
    service.close()


def test_listening_refuses_strangers(launcher):
    launcher.define('ok', 'exit 0')
    service = Listening(launcher)
    code = f'''
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect({service.path!r})
try:
    r = s.recv(1000)
except ConnectionResetError:
    r = b""
sys.exit(len(r) > 0)'''

    def as_user(uid):
        return subprocess.run(['/usr/bin/python3', '-c', code], user=uid, group=uid, extra_groups=[], timeout=20).returncode
    assert as_user(ORDINARY_UID) == 0
    assert as_user(pwd.getpwnam('jobbers-task').pw_uid) == 0
    assert 'refused' in launcher.log()
    assert as_user(pwd.getpwnam('jobbers').pw_uid) == 1
    service.close()


def test_nothing_to_listen_to(launcher):
    r = subprocess.run([RUN, '--launcher', *launcher.flags], capture_output=True, text=True, env=launcher.env)
    assert r.returncode != 0 and 'jobbers-launcher.socket' in r.stderr


def test_directories_of_others_are_refused(launcher):
    launcher.define('ok', 'exit 0')
    launcher.ask_names()
    os.makedirs(os.path.join(launcher.tmp, 'state', 'records'))
    for spoil in (lambda d: os.chown(d, ORDINARY_UID, -1), lambda d: os.chmod(d, 0o777)):
        d = os.path.join(launcher.tmp, 'state', 'records')
        os.chown(d, 0, 0)
        os.chmod(d, 0o750)
        spoil(d)
        r = subprocess.run([RUN, '--launcher', '--launcher-fd=0', *launcher.flags], capture_output=True, text=True, env=launcher.env)
        assert r.returncode != 0
    os.chmod(d, 0o750)
    os.rename(d, d + '.real')
    os.symlink(d + '.real', d)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    r = subprocess.run([RUN, '--launcher', f'--launcher-fd={theirs.fileno()}', *launcher.flags], capture_output=True, text=True,
                       env=launcher.env, pass_fds=[theirs.fileno()])
    assert r.returncode != 0 and 'records' in r.stderr


# ── in a terminal ──

def terminal(launcher, *words, **kw):
    return subprocess.run([RUN, *launcher.flags, *words], capture_output=True, text=True, env=launcher.env, timeout=30, **kw)


def test_terminal_result(launcher):
    launcher.define('add', 'cat >"$JOBBERS_RESULT"; echo working', more='[Parameters]\nn = integer, required\ns = string\nx = array\n')
    r = terminal(launcher, 'add', 'n=4', 's=5', 'x:=[1]')
    assert (r.returncode, json.loads(r.stdout)) == (0, {'n': 4, 's': '5', 'x': [1]}), r.stderr
    assert 'working\n' in r.stderr


def test_terminal_failures(launcher):
    launcher.define('fail', 'exit 42')
    launcher.define('kill', 'kill -USR1 $$')
    launcher.define('bad', 'echo "[1]" >"$JOBBERS_RESULT"')
    launcher.define('typed', 'exit 0', more='[Parameters]\nn = integer, required\n')
    assert terminal(launcher, 'fail').returncode == 42
    assert terminal(launcher, 'kill').returncode == 128 + signal.SIGUSR1
    r = terminal(launcher, 'bad')
    assert r.returncode == 1 and r.stdout == '' and 'bad' in r.stderr
    r = terminal(launcher, 'typed')
    assert r.returncode == 2 and '"n"' in r.stderr
    r = terminal(launcher, 'unknown')
    assert r.returncode == 2 and 'unknown' in r.stderr
    r = terminal(launcher, 'fail@7')
    assert r.returncode == 2 and '7' in r.stderr and '0' in r.stderr


def test_terminal_versions(launcher):
    """Without a version 0, or the only one there is."""
    launcher.define('one', 'exit 11', version=3)
    launcher.define('two', 'exit 20')
    launcher.define('two', 'exit 21', version=1)
    launcher.define('many', 'exit 0', version=1)
    launcher.define('many', 'exit 0', version=2)
    assert terminal(launcher, 'one').returncode == 11
    assert terminal(launcher, 'two').returncode == 20 and terminal(launcher, 'two@1').returncode == 21
    r = terminal(launcher, 'many')
    assert r.returncode == 2 and 'many@VERSION' in r.stderr and '1, 2' in r.stderr
    for word in ('two@', 'two@x', 'two@-1', 'two@4294967296', '@1'):
        r = terminal(launcher, word)
        assert r.returncode == 2 and r.stderr.startswith('jobbers-run: '), word


def test_terminal_wrong_use(launcher):
    launcher.define('one', 'exit 0')
    for words in (['--bogus', 'one'], ['--slots=x', 'one'], ['--config=/nope/x', 'one'], ['--slots'], []):
        r = terminal(launcher, *words)
        assert r.returncode == 2 and r.stdout == '' and r.stderr.startswith('jobbers-run: ') and r.stderr.count('\n') == 1, (words, r)


def test_terminal_refusals(launcher):
    """Each with a sentence, before anything is run."""
    launcher.define('ok', 'exit 0')
    launcher.define('stranger', 'exit 0', User='no-such-user')
    launcher.define('blind', 'exit 0', EnvironmentFile='/nowhere/env')
    with open(os.path.join(launcher.tasks, 'broken.task'), 'w') as f:
        f.write('[Task]\nName=broken\nVersion=1\nNonsense=5\n')
    r = terminal(launcher, 'ok')
    assert r.returncode == 0 and 'broken.task' in r.stderr
    r = terminal(launcher, 'stranger')
    assert r.returncode == 125 and 'no-such-user' in r.stderr
    r = terminal(launcher, 'blind')
    assert r.returncode == 125 and 'cannot read the environment file /nowhere/env' in r.stderr
    r = terminal(launcher, 'ok', 'x=' + 'y' * 2000, '--max-parameters=1K')
    assert r.returncode == 2 and '--max-parameters' in r.stderr
    r = terminal(launcher, 'ok', 'novalue')
    assert r.returncode == 2 and 'novalue' in r.stderr


def test_terminal_says_why_it_ends(launcher):
    launcher.define('late', 'sleep 1000', TimeoutSec='100ms')
    launcher.define('still', 'sleep 1000', MaxHeartbeatIntervalSec='100ms')
    r = terminal(launcher, 'late')
    assert r.returncode == 128 + signal.SIGTERM and 'TimeoutSec=' in r.stderr
    r = terminal(launcher, 'still')
    assert r.returncode == 128 + signal.SIGTERM and 'MaxHeartbeatIntervalSec=' in r.stderr


@pytest.mark.parametrize('holder', ['pidns', 'tree'])
def test_terminal_without_cgroups(make, holder):
    launcher = make(holder)
    launcher.define('ok', 'echo in a terminal')
    r = subprocess.run([*launcher.prefix, RUN, *launcher.flags, 'ok'], capture_output=True, text=True, env=launcher.env, timeout=30)
    assert r.returncode == 0 and 'in a terminal' in r.stderr, r


def test_terminal_of_root_is_not_the_tasks(launcher):
    """It is open for reading too. A task of root has it anyway."""
    launcher.define('look', 'test -t 1 -o -t 2 && echo a terminal || echo no terminal')
    launcher.define('root', 'test -t 1 -a -t 2 && echo a terminal || echo no terminal', User='root')
    for name, answer in (('look', b'no terminal'), ('root', b'a terminal')):
        ours, theirs = os.openpty()
        r = subprocess.run([RUN, *launcher.flags, name], stdout=subprocess.PIPE, stderr=theirs, env=launcher.env, timeout=30)
        os.close(theirs)
        assert r.returncode == 0 and os.read(ours, 4096).strip() == answer, name
        os.close(ours)


def test_terminal_that_is_not_read(launcher):
    """It holds up the task's output, and not its end."""
    launcher.define('flood', 'echo $$ >@BOX@; trap "" PIPE; while :; do echo "a line that nobody reads"; done', TimeoutSec='1s')
    p = subprocess.Popen([RUN, *launcher.flags, 'flood'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=launcher.env)
    pid = int(launcher.line())
    until(lambda: not alive(pid), 'its time is up')
    err = p.communicate(timeout=20)[1]
    assert b'a line that nobody reads' in err and b'timed out' in err and b'could not be kept' not in err


def test_terminal_shows_status(launcher):
    launcher.define('talk', NOTIFY % 's.send(b"STATUS=half\\nX_JOBBERS_PROGRESS=50")')
    r = terminal(launcher, 'talk')
    assert r.returncode == 0 and 'status: half' in r.stderr and 'progress: 50%' in r.stderr


def test_terminal_ctrl_c(launcher):
    launcher.define('long', 'trap "exit 3" TERM; echo up >@BOX@; while :; do sleep 1000 & wait; done')
    p = subprocess.Popen([RUN, *launcher.flags, 'long'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=launcher.env)
    assert launcher.line() == 'up'
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=20)
    assert p.returncode == 3 and out == '' and 'cancel' in err, err


def test_terminal_leaves_nothing(launcher):
    launcher.define('ok', 'echo "at $JOBBERS_RESULT"\nsed -n "s/^0::/in /p" /proc/self/cgroup')
    p = terminal(launcher, 'ok')
    assert p.returncode == 0
    said = dict(line.split(' ', 1) for line in (p.stdout + p.stderr).splitlines() if line.startswith(('at ', 'in ')))
    top = re.match(r'(/\w+)+/jobbers-run\.\w+', said['at'])
    assert top and not os.path.exists(top[0]), said
    mount = next((line.split()[1] for line in open('/proc/self/mounts') if line.split()[2] == 'cgroup2'), None)
    if mount and '/jobbers-run-' in said.get('in', ''):
        assert not os.path.exists(mount + said['in']), said


def test_help_and_version():
    r = subprocess.run([RUN, '--help'], capture_output=True, text=True)
    assert r.returncode == 0 and '--state-dir' in r.stdout and max(map(len, r.stdout.splitlines())) <= 80
    assert subprocess.run([RUN, '--version'], capture_output=True, text=True).stdout.startswith('jobbers ')
    assert subprocess.run([RUN], capture_output=True, text=True).returncode == 2
    assert subprocess.run([RUN, '--nonsense'], capture_output=True, text=True).returncode != 0
