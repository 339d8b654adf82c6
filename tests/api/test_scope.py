"""Scope mode against a manager that is played: the launcher's side of it, also where systemd refuses, is slow or goes away. That a real systemd
takes it so is for tests/systemd."""
import errno
import os
import shutil
import select
import signal
import socket
import subprocess
import tempfile

import pytest

from run_harness import (BUILD, HAS_CPU, HAS_IO, HAS_MEMORY, HAS_PIDS, HAS_SCOPES, HERE, HOLDS_SCOPE, FORGET, KILL, RELOAD, SLICE, START, Launcher, Listening,
                         alive, children, until)

NONE = 2**64 - 1


def mount_point():
    with open('/proc/self/mounts') as f:
        return next((line.split()[1] for line in f if line.split()[2] == 'cgroup2'), None)


def can_make_cgroups():
    try:
        path = os.path.join(mount_point(), f'jobbers-probe-{os.getpid()}')
        os.mkdir(path)
        os.rmdir(path)
        return True
    except (OSError, TypeError):
        return False


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not can_make_cgroups(), reason='needs root and a cgroup v2 tree')


@pytest.fixture(scope='module')
def program():
    d = tempfile.mkdtemp(prefix='jobbers-fake-')
    path = os.path.join(d, 'fake-systemd')
    subprocess.run(['gcc', '-std=gnu17', '-D_GNU_SOURCE', '-Wall', '-o', path, os.path.join(HERE, 'fake-systemd.c'), '-lsystemd'], check=True)
    yield path
    shutil.rmtree(d)


class Manager:
    """A launcher in user mode (of root) whose systemd is the fake."""

    def __init__(self, program, kind='auto', answers=True):
        self.program = program
        self.launcher = Launcher('cgroup', flags=('--user', f'--launcher={kind}'))
        if kind == 'auto' and answers:
            self.launcher.expected = HOLDS_SCOPE
        self.launcher.env['DBUS_SESSION_BUS_ADDRESS'] = 'unix:path=/nowhere'
        self.runtime = self.launcher.env['XDG_RUNTIME_DIR']
        os.makedirs(os.path.join(self.runtime, 'systemd'), mode=0o700)
        self.cgroup = os.path.join(mount_point(), f'jobbers-fake-{os.getpid()}-{os.path.basename(self.launcher.tmp)}')
        os.mkdir(self.cgroup)
        self.mode_path, self.log_path = os.path.join(self.launcher.tmp, 'mode'), os.path.join(self.launcher.tmp, 'units')
        open(self.log_path, 'w').close()
        self.process = None
        self.mode('ok')
        if answers:
            self.begin()

    def mode(self, word):
        with open(self.mode_path + '.new', 'w') as f:
            f.write(word + '\n')
        os.rename(self.mode_path + '.new', self.mode_path)

    def begin(self):
        self.process = subprocess.Popen([self.program, os.path.join(self.runtime, 'systemd', 'private'), self.cgroup, self.mode_path, self.log_path],
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b'ready\n'

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.process = None

    def properties(self, unit):
        with open(self.log_path) as f:
            return [line.split(' ', 1)[1].rstrip('\n') for line in f if line.startswith(unit + ' ')]

    def close(self):
        try:
            self.launcher.close()
        finally:
            self.end()
            for path, _, _ in os.walk(self.cgroup, topdown=False):
                until(lambda: remove(path), f'{path} is empty')


def remove(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


class Gate:
    """A task waits for a line from @TMP@/NAME."""

    def __init__(self, launcher, name='gate'):
        self.path = os.path.join(launcher.tmp, name)
        os.mkfifo(self.path)

    def open(self):
        with open(self.path, 'w') as f:
            f.write('\n')


def unit_of(a):
    return f'jobbers-task-{a.id}-{a.attempt}.scope'


def begin(manager, name, **kw):
    """The gate opens when the scope is there, as the daemon does it."""
    a = manager.launcher.run(name, go=False, **kw)
    r = manager.launcher.reply()
    assert (r.verb, r.result, r.text) == (START, 0, unit_of(a))
    a.say('GO=1\n')
    return a


@pytest.fixture
def manager(program):
    m = Manager(program)
    yield m
    m.close()


def cgroup_of(pid):
    with open(f'/proc/{pid}/cgroup') as f:
        return next(line[3:].strip() for line in f if line.startswith('0::'))


def test_fractions_and_idle(manager):
    """As systemd has them: its number for CPUWeight=idle is 0."""
    l = manager.launcher
    l.define('slow', 'exit 0', more='[Resources]\nCPUQuota=12.5%\nCPUWeight=idle\n')
    l.start()
    a = l.run('slow', go=False)
    assert l.reply().result == 0
    asked = manager.properties(unit_of(a))
    assert 'CPUQuotaPerSecUSec=125000' in asked and 'CPUWeight=0' in asked, asked
    a.say('GO=1\n')
    assert a.end()['EXIT_STATUS'] == '0'


def supervisor_leaf(manager, attempt):
    """With controllers, which count the task alone, a leaf of its own; here there are none, mostly (tests/systemd/test_resources.py has them)."""
    with open(os.path.join(manager.cgroup, unit_of(attempt), 'cgroup.controllers')) as f:
        return unit_of(attempt) + ('/supervisor' if {'memory', 'cpu', 'io', 'pids'} & set(f.read().split()) else '')


def test_an_attempt_in_its_scope(manager):
    l = manager.launcher
    l.define('say', 'echo $$ >@BOX@; read -r x <@TMP@/gate; exit 7', more='[Resources]\nMemoryMax=64M\nMemoryHigh=32M\nCPUQuota=50%\nCPUWeight=7\n'
             'IOWeight=9\nTasksMax=40\n')
    gate = Gate(l)
    l.start()
    a = l.run('say', go=False, queue='a-b')
    r = l.reply()
    assert (r.verb, r.result, r.text) == (START, 0, unit_of(a))
    asked = manager.properties(unit_of(a))
    for wanted in ('MemoryMax=67108864', 'MemoryHigh=33554432', 'CPUQuotaPerSecUSec=500000', 'CPUWeight=7', 'IOWeight=9', 'TasksMax=40', 'Delegate=yes',
                   'CollectMode=inactive-or-failed', 'Slice=jobbers-a\\x2db.slice', 'MemoryAccounting=yes', 'After',
                   f'KillSignal={int(signal.SIGURG)}', 'TimeoutStopUSec=20000000'):
        assert wanted in asked, asked
    a.say('GO=1\n')
    pid = int(l.line())
    assert cgroup_of(pid).endswith(unit_of(a) + '/task')
    supervisor = a.supervisor()
    assert cgroup_of(supervisor).endswith(supervisor_leaf(manager, a))
    with open(f'/proc/{supervisor}/oom_score_adj') as f, open(f'/proc/{pid}/oom_score_adj') as g:
        assert int(f.read()) <= 0 <= int(g.read())          # 0 where not even root may lower it
    gate.open()
    record = a.end()
    assert (record['END_REASON'], record['EXIT_STATUS']) == ('exit', '7')


def test_the_controllers_are_those_of_the_manager(manager):
    with open(os.path.join(manager.cgroup, 'cgroup.controllers')) as f:
        there = f.read().split()
    flags = manager.launcher.start().hello.flags
    for name, flag in (('memory', HAS_MEMORY), ('cpu', HAS_CPU), ('io', HAS_IO), ('pids', HAS_PIDS)):
        assert bool(flags & flag) == (name in there), (name, there)


def test_systemd_stops_the_scope(manager):
    """SIGTERM to all that is in it, the supervisor too: that is a shutdown, and not a task that happened to be killed."""
    l = manager.launcher
    l.define('long', 'trap "" TERM; echo $$ >@BOX@; while :; do sleep 1; done', KillGraceSec='1')
    l.start()
    a = begin(manager, 'long')
    pid = int(l.line())
    os.kill(a.supervisor(), signal.SIGTERM)
    record = a.end()
    assert record['END_REASON'] == 'shutdown', record
    assert not alive(pid)


def test_a_stop_is_the_kill_sequence_of_the_definition(manager):
    """Its signal, to whom it says, with its grace: systemd's own is to all, and noticed by the supervisor alone."""
    l = manager.launcher
    l.define('mixed', "trap 'echo main >@BOX@; exit 4' USR1; trap 'exit 5' TERM\n"
             "(trap 'echo child >@BOX@' TERM USR1; echo up >@BOX@; while :; do sleep 1000 & wait; done) &\n"
             "while :; do sleep 1000 & wait; done", KillMode='mixed', KillSignal='SIGUSR1', KillGraceSec='5min')
    l.start()
    a = begin(manager, 'mixed')
    assert l.line() == 'up'
    assert 'TimeoutStopUSec=310000000' in manager.properties(unit_of(a))
    for leaf in (f'{unit_of(a)}/task', supervisor_leaf(manager, a)):        # the supervisor last: what tasks make of it shows
        with open(os.path.join(manager.cgroup, leaf, 'cgroup.procs')) as f:
            for pid in f.read().split():
                os.kill(int(pid), signal.SIGURG)
    record = a.end()
    assert (record['END_REASON'], record['EXIT_STATUS']) == ('shutdown', '4')
    assert l.line() == 'main' and not l.box_rest


def test_a_supervisor_that_was_killed(manager):
    l = manager.launcher
    l.define('long', 'echo $$ >@BOX@; exec sleep 1000')
    l.start()
    a = begin(manager, 'long')
    pid = int(l.line())
    os.kill(a.supervisor(), signal.SIGKILL)
    assert a.end() is None and a.started_exists
    r = l.ask(KILL, a)
    assert r.result == 0, r
    assert not alive(pid)


def test_a_subprocess_all_the_same(manager):
    l = manager.launcher
    l.define('own', 'echo $$ >@BOX@; exit 0', Launcher='subprocess')
    l.start()
    a = l.run('own')
    l.line()
    assert a.end()['EXIT_STATUS'] == '0'
    assert manager.properties(unit_of(a)) == []
    assert l.ask(SLICE, queue='q', limits=(NONE, NONE, 0, 0)).result == 0       # and no word about the start before this one


def test_a_scope_all_the_same(program):
    """A definition overrides --launcher=subprocess, too; what leaves it open stays as it was."""
    manager = Manager(program, 'subprocess')
    l = manager.launcher
    try:
        l.define('own', 'echo $$ >@BOX@; exec sleep 1000', Launcher='scope')
        l.define('open', 'exit 3')
        l.start()
        assert l.hello.flags & HAS_SCOPES
        a = begin(manager, 'own')
        assert cgroup_of(int(l.line())).endswith(unit_of(a) + '/task')
        b = l.run('open')
        assert b.end()['EXIT_STATUS'] == '3' and manager.properties(unit_of(b)) == []
        assert l.ask(SLICE, queue='q', limits=(1 << 30, NONE, 0, 0)).result == 0
        assert 'MemoryMax=1073741824' in manager.properties('jobbers-q.slice')
        a.say('STOP=cancelled\n')
        a.end()
    finally:
        manager.close()


def test_a_scope_without_systemd(program):
    """Of no use to try it again: the reason is one that lasts."""
    l = Launcher('cgroup', flags=('--user', '--launcher=auto'))
    l.define('own', 'echo ran >@BOX@', Launcher='scope')
    try:
        l.start()
        assert not l.hello.flags & HAS_SCOPES
        a = l.run('own', go=False)
        r = l.reply()
        assert (r.result, r.text) == (-errno.EOPNOTSUPP, 'its definition says Launcher=scope, and there is no systemd here to make one')
        assert a.end() is None and a.traces() == []
        assert 'systemd' not in l.log()
    finally:
        l.close()


def test_a_manager_that_comes_late(program):
    """auto says that it does without; who must have a scope waits for it."""
    manager = Manager(program, answers=False)
    l = manager.launcher
    l.define('own', 'exit 5', Launcher='scope')
    l.define('open', 'exit 3')
    try:
        l.start()
        assert 'systemd does not answer: tasks run as subprocesses' in l.log()
        refused = l.run('own', go=False)
        r = l.reply()
        assert (r.result, r.text) == (-errno.EAGAIN, 'its definition says Launcher=scope, and systemd does not answer just now')
        assert refused.end() is None
        manager.begin()

        def answered():
            a = l.run('own', go=False)
            return a if l.reply().result == 0 else a.end()

        a = until(answered, 'the launcher asks the manager again')
        a.say('GO=1\n')
        assert a.end()['EXIT_STATUS'] == '5'
        assert l.run('open').end()['EXIT_STATUS'] == '3'        # as was said in the hello: nobody waits for a word about it
    finally:
        manager.close()


@pytest.mark.parametrize('answer, words', [('refuse', 'systemd refuses its scope: not today'), ('fail', 'its scope did not start: failed')])
def test_no_scope_no_start(manager, answer, words):
    l = manager.launcher
    l.define('ok', 'echo ran >@BOX@')
    manager.mode(answer)
    l.start()
    a = l.run('ok', go=False)
    r = l.reply()
    assert r.result < 0 and r.text == words
    a.channel.shutdown(1)
    assert a.end() is None and a.traces() == []


@pytest.mark.parametrize('answer, stopped', [('exists', False), ('earlier', False), ('nobody', True), ('somebody', False)])
def test_a_name_that_is_taken(manager, answer, stopped):
    """The scope of an earlier try is about to be collected: asked again. Or nobody is in it and systemd does not know, so that it would stay. Or
    systemd was slow, and the launcher gave up and asked again: what becomes of the first is not the outcome of the second."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    manager.mode(answer)
    l.start()
    a = begin(manager, 'ok')
    assert a.end()['EXIT_STATUS'] == '0'
    assert ('stopped' in manager.properties(unit_of(a))) == stopped


def test_a_supervisor_that_dies_on_its_way_into_its_scope(manager):
    """systemd makes it around nobody, and would keep it."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    manager.mode('slow')
    l.start()
    a = l.run('ok', go=False)
    until(lambda: manager.properties(unit_of(a)), 'the scope is asked for')
    a.hang_up()
    r = l.reply()
    assert (r.result, r.text) == (-errno.EAGAIN, 'its supervisor has left')
    assert 'stopped' not in manager.properties(unit_of(a)), 'it may not be there yet'
    until(lambda: 'stopped' in manager.properties(unit_of(a)), 'the scope is stopped')
    manager.mode('ok')
    assert begin(manager, 'ok').end()['EXIT_STATUS'] == '0'


@pytest.mark.parametrize('answer', ['silent', 'somebody'])
def test_the_scope_of_another_is_not_stopped(manager, answer):
    """A second start of an attempt that lives leaves by itself, before or after systemd has said that there is a scope of its name."""
    l = manager.launcher
    l.define('hold', 'echo there >@BOX@; read -r x <@TMP@/gate; exit 3')
    l.define('ok', 'exit 0')
    gate = Gate(l)
    l.start()
    a = begin(manager, 'hold')
    l.line()
    manager.mode(answer)
    for _ in range(3):
        l.run('hold', go=False, raw=a.raw)
        assert l.reply().result == -errno.EAGAIN
    manager.mode('ok')
    assert begin(manager, 'ok').end()['EXIT_STATUS'] == '0'     # whatever was said before that has been read
    assert 'stopped' not in manager.properties(unit_of(a))
    gate.open()
    assert a.end()['EXIT_STATUS'] == '3'


def test_not_too_many_at_once(manager):
    """Else a slow systemd would come to the last ones only when they have given up."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    l.start()
    manager.mode('silent')
    attempts = [l.run('ok', go=False) for _ in range(40)]

    def asked():
        with open(manager.log_path) as f:
            return {line.split()[0] for line in f}
    until(lambda: len(asked()) == 32, 'the first ones are asked for')
    manager.mode('ok')
    assert l.request(FORGET, attempts[-1]) and l.reply().verb == FORGET, 'and all others have been read'
    assert asked() == {unit_of(a) for a in attempts[:32]}
    # those who leave make place for the others, in their order
    for a in attempts[:8]:
        a.hang_up()
    replies = [l.reply() for _ in range(16)]
    assert sorted(r.result for r in replies) == [-errno.EAGAIN] * 8 + [0] * 8
    assert sorted(r.text for r in replies if r.result == 0) == sorted(unit_of(a) for a in attempts[32:])


def test_no_go(manager):
    """Its daemon leaves while systemd says nothing."""
    l = manager.launcher
    l.define('ok', 'echo ran >@BOX@')
    manager.mode('silent')
    l.start()
    a = l.run('ok', go=False)
    until(lambda: manager.properties(unit_of(a)), 'systemd was asked')
    a.channel.shutdown(1)
    assert a.end() is None
    r = l.reply()
    assert r.result < 0 and r.text == 'its supervisor has left'
    assert a.traces() == []


def test_systemd_goes_and_comes_back(manager):
    """In the middle of a call. The attempt is asked for again, and those that run are not disturbed."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    l.define('hold', 'echo $$ >@BOX@; read -r x <@TMP@/gate; exit 3')
    gate = Gate(l)
    l.start()
    running = begin(manager, 'hold')
    l.line()
    manager.mode('lost')
    a = l.run('ok', go=False)
    manager.process.wait()
    assert l.ask(SLICE, queue='q', limits=(NONE, NONE, 0, 0)).result < 0    # not just now
    manager.mode('ok')
    manager.begin()
    r = l.reply()
    assert (r.result, r.text) == (0, unit_of(a))
    a.say('GO=1\n')
    assert a.end()['EXIT_STATUS'] == '0'
    gate.open()
    assert running.end()['EXIT_STATUS'] == '3'
    assert 'connected to systemd again' in l.log()


def test_a_daemon_that_left_meanwhile(manager):
    """Answers to an earlier connection go to nobody; the launcher ends when it is a child."""
    l = manager.launcher
    l.define('ok', 'echo ran >@BOX@')
    manager.mode('silent')
    l.start()
    a = l.run('ok', go=False)
    until(lambda: manager.properties(unit_of(a)), 'systemd was asked')
    a.hang_up()
    assert l.leave() == 0
    l.process = None
    until(lambda: a.traces() == [], 'no trace is left')


def test_go_before_the_scope(manager):
    """A daemon that does not wait: nothing is run outside of the scope."""
    l = manager.launcher
    l.define('ok', 'echo ran >@BOX@')
    manager.mode('silent')
    l.start()
    a = l.run('ok')
    record = a.end()
    assert 'not in its scope' in record['ERROR'] and l.box_lines == []


def supervisor_of(a):
    """Its number, asked through the channel: by the control socket it would get to know somebody, and leave after its attempt."""
    a.say('HELLO=1\n')
    return int(a.note('PID'))


def rests(manager, pid):
    """Where the launcher is; and it says so before it takes an order, so that the next start is for it."""
    home = cgroup_of(manager.launcher.process.pid)
    until(lambda: cgroup_of(pid) == home, 'it has left the scope')
    until(lambda: 'poll' in wchan(pid), 'it waits')


def wchan(pid):
    with open(f'/proc/{pid}/wchan') as f:
        return f.read()


def one_that_rests(manager):
    """After an attempt of `ok`, the first there is."""
    assert begin(manager, 'ok').end()['EXIT_STATUS'] == '0'
    [pid] = children(manager.launcher.process.pid)
    rests(manager, pid)
    return pid


def test_from_scope_to_scope(manager):
    """The scope ends with the attempt, and its supervisor is there for the next, as new."""
    l = manager.launcher
    l.define('gated', 'echo $$ >@BOX@; read -r x <@TMP@/gate; exit 3')
    l.define('env', 'read -r x <@TMP@/gate; env >$JOBBERS_RESULT', Environment='A=1')
    gate = Gate(l)
    l.start()

    def attempt(name):
        a = begin(manager, name)
        pid = supervisor_of(a)
        assert cgroup_of(pid).endswith(supervisor_leaf(manager, a))
        gate.open()
        record = a.end()
        rests(manager, pid)
        with open(os.path.join(manager.cgroup, unit_of(a), 'cgroup.events')) as f:
            assert 'populated 0' in f.read()
        assert all(d.startswith(f's{pid}-') for d in os.listdir(l.attempt_dir))
        return a, pid, record

    a, first, record = attempt('gated')
    assert record['EXIT_STATUS'] == '3'
    b, second, record = attempt('env')
    assert second == first and record['EXIT_STATUS'] == '0'
    text = record['result'].decode()
    assert 'A=1\n' in text and b.id in text and a.id not in text
    c, third, record = attempt('gated')
    assert third == first and record['EXIT_STATUS'] == '3'
    assert children(l.process.pid) == [first]


def test_who_rests_leaves_after_a_while(manager):
    l = manager.launcher
    l.define('ok', 'exit 0')
    l.start()
    a = begin(manager, 'ok')
    assert a.end()['EXIT_STATUS'] == '0'
    until(lambda: not children(l.process.pid), 'it has left')
    assert os.listdir(l.attempt_dir) == []
    assert begin(manager, 'ok').end()['EXIT_STATUS'] == '0', 'another is made'


def run_at_once(l, n):
    attempts = [l.run('ok', go=False) for _ in range(n)]
    placed = {l.reply().text for _ in attempts}
    assert placed == {unit_of(a) for a in attempts}
    for a in attempts:
        a.say('GO=1\n')
    for a in attempts:
        assert a.end()['EXIT_STATUS'] == '0'


def resting(manager, script='exit 0'):
    """A supervisor that rests, and stopped, so that it does not leave."""
    l = manager.launcher
    l.define('ok', script)
    l.start()
    pid = one_that_rests(manager)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_who_rests_is_killed(manager):
    pid = resting(manager)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), 'its end')
    a = begin(manager, 'ok')
    assert a.end()['EXIT_STATUS'] == '0'
    assert children(manager.launcher.process.pid) != [pid]


def test_who_rests_is_killed_with_its_order(manager):
    """Nothing was run, and nobody says that the task failed: it is started again."""
    l = manager.launcher
    pid = resting(manager, 'echo ran >@BOX@')
    assert l.line() == 'ran'
    manager.mode('silent')
    a = l.run('ok', go=False)
    until(lambda: manager.properties(unit_of(a)), 'systemd was asked')
    assert children(l.process.pid) == [pid], 'nobody was forked for it'
    os.kill(pid, signal.SIGKILL)
    assert a.end() is None and a.traces() == []
    r = l.reply()
    assert (r.result, r.text) == (-errno.EAGAIN, 'its supervisor has left')
    manager.mode('ok')
    b = begin(manager, 'ok')
    assert b.end()['EXIT_STATUS'] == '0' and l.line() == 'ran'


def test_who_rests_does_not_know_what_was_read_again(manager):
    l = manager.launcher
    pid = resting(manager)
    assert l.ask(RELOAD).result == 0
    a = begin(manager, 'ok')
    assert a.end()['EXIT_STATUS'] == '0'
    os.kill(pid, signal.SIGCONT)
    until(lambda: not alive(pid), 'its end')


def test_an_order_is_done_though_definitions_are_read_again(manager):
    """The launcher has checked it by those that were in force."""
    l = manager.launcher
    pid = resting(manager, 'echo ran >@BOX@')
    assert l.line() == 'ran'
    a = l.run('ok', go=False)
    r = l.reply()
    assert (r.verb, r.result, r.text) == (START, 0, unit_of(a))
    assert l.ask(RELOAD).result == 0
    os.kill(pid, signal.SIGCONT)
    a.say('GO=1\n')
    assert a.end()['EXIT_STATUS'] == '0' and l.line() == 'ran'
    until(lambda: not alive(pid), 'that was its last')


def test_what_was_said_to_the_scope_before(manager):
    """A scope is stopped; the next, with the same supervisor, is not."""
    l = manager.launcher
    l.define('long', 'echo up >@BOX@; exec sleep 1000')
    l.define('short', 'echo up >@BOX@; read -r x <@TMP@/gate; exit 0')
    gate = Gate(l)
    l.start()
    a = begin(manager, 'long')
    assert l.line() == 'up'
    pid = supervisor_of(a)
    os.kill(pid, signal.SIGURG)
    assert a.end()['END_REASON'] == 'shutdown'
    rests(manager, pid)
    b = begin(manager, 'short')
    assert l.line() == 'up' and supervisor_of(b) == pid
    gate.open()
    assert b.end()['END_REASON'] == 'exit'


def test_more_than_may_rest(manager):
    l = manager.launcher
    l.define('ok', 'exit 0')
    l.start()
    for _ in range(2):
        run_at_once(l, 270)
    assert len(os.listdir(f'/proc/{l.process.pid}/fd')) < 300


def test_a_word_that_is_said_twice(manager):
    """Its place is free, and another's, when a supervisor has gone, and not while it still tidies up: else that other would be sent an attempt while
    it has one."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    for name in ('b', 'c', 'd'):
        l.define(name, f'echo {name} >@BOX@; read -r x <@TMP@/{name}; exit 0')
    gates = {name: Gate(l, name) for name in 'bcd'}
    l.start()

    def hold(name):
        a = begin(manager, name)
        assert l.line() == name
        return a, supervisor_of(a)

    def release(a, name):
        gates[name].open()
        assert a.end()['EXIT_STATUS'] == '0'
    first = one_that_rests(manager)
    os.kill(first, signal.SIGSTOP)
    [kept] = os.listdir(l.attempt_dir)
    junk = os.path.join(l.attempt_dir, kept, 'junk')
    os.mkdir(junk)
    for i in range(50000):
        os.mknod(f'{junk}/{i}')
    assert l.ask(RELOAD).result == 0
    os.kill(first, signal.SIGCONT)
    until(lambda: len(os.listdir(junk)) < 50000, 'it tidies up')
    os.kill(first, signal.SIGSTOP)
    b, second = hold('b')
    os.kill(first, signal.SIGCONT)
    until(lambda: not alive(first), 'its end')
    c, third = hold('c')
    release(b, 'b')
    rests(manager, second)
    d, fourth = hold('d')
    assert (fourth, third != second) == (second, True), 'the one that rests, and not the one that is busy'
    release(c, 'c')
    release(d, 'd')


def test_places_are_used_again(manager):
    l = manager.launcher
    l.define('ok', 'exit 0')
    l.start()

    def several():
        run_at_once(l, 8)
        assert l.ask(RELOAD).result == 0
        until(lambda: not children(l.process.pid), 'they have left')
        return len(os.listdir(f'/proc/{l.process.pid}/fd'))
    several()
    before = several()
    assert [several() for _ in range(3)] == 3 * [before]


@pytest.mark.parametrize('how', ['adopted', 'alone'])
def test_who_is_known_to_somebody_does_not_go_on(manager, how):
    """Another daemon may hold a pidfd of it, or there is none any more."""
    l = manager.launcher
    l.define('gated', 'echo up >@BOX@; read -r x <@TMP@/gate; exit 0')
    gate = Gate(l)
    l.start()
    a = begin(manager, 'gated')
    assert l.line() == 'up'
    pid = supervisor_of(a)
    if how == 'adopted':
        assert a.supervisor() == pid
    else:
        a.hang_up()
    gate.open()
    until(lambda: a.record(), 'its record')
    b = begin(manager, 'gated')
    assert l.line() == 'up' and supervisor_of(b) != pid
    gate.open()
    assert b.end()['EXIT_STATUS'] == '0'


def test_what_is_said_to_one_that_rests(manager):
    """systemctl kill of the launcher's unit, say: that is not for the next attempt."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    l.start()
    pid = one_that_rests(manager)
    os.kill(pid, signal.SIGTERM)
    manager.mode('silent')
    a = l.run('ok', go=False)
    until(lambda: os.path.isdir(a.dir), 'it has its order')
    assert supervisor_of(a) == pid
    manager.end()
    manager.mode('ok')
    manager.begin()
    r = l.reply()
    assert (r.verb, r.result) == (START, 0)
    a.say('GO=1\n')
    assert a.end()['END_REASON'] == 'exit'


def test_an_order_on_its_way_holds_the_next_daemon_back(manager):
    """As one does that goes down a channel (test_run.py)."""
    l = manager.launcher
    l.define('ok', 'exit 0')
    service = Listening(l)
    service.connect()
    pid = one_that_rests(manager)
    os.kill(pid, signal.SIGSTOP)
    a = l.run('ok', go=False)
    r = l.reply()
    assert (r.verb, r.result, r.text) == (START, 0, unit_of(a))
    a.say('GO=1\n')
    second = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    second.connect(service.path)
    a.hang_up()
    l.sock.close()
    l.sock = second
    assert not select.select([second], [], [], 0.3)[0], 'it may still begin'
    os.kill(pid, signal.SIGCONT)
    assert l.reply().verb == 0
    until(lambda: a.record(), 'it had its GO')
    service.close()


def test_a_launcher_that_stops_lets_go_of_those_at_their_gates(manager):
    """They wait for a scope that nobody asks for any more; their daemon has to hear of it before the launcher waits for them."""
    l = manager.launcher
    l.define('ok', 'echo ran >@BOX@')
    manager.mode('silent')
    l.start()
    a = l.run('ok', go=False)
    until(lambda: manager.properties(unit_of(a)), 'systemd was asked')
    [pid] = children(l.process.pid)
    l.process.terminate()
    assert l.sock.recv(4096) == b''
    a.hang_up()
    assert l.process.wait(20) == 0
    assert not alive(pid) and a.traces() == []
    l.process = None


def test_a_connection_that_nobody_needs_is_closed(manager):
    """systemd tells it of all units of the host. What is to be done next opens another, if systemd is there."""
    l = manager.launcher
    l.define('ok', 'exit 0')

    def connections():
        fds = f'/proc/{manager.process.pid}/fd'
        return sum(os.readlink(f'{fds}/{fd}').startswith('socket:') for fd in os.listdir(fds))
    none = connections()
    l.start()
    assert connections() > none
    assert begin(manager, 'ok').end()['EXIT_STATUS'] == '0'
    until(lambda: connections() == none, 'it is closed')
    assert begin(manager, 'ok').end()['EXIT_STATUS'] == '0'
    assert connections() > none
    until(lambda: connections() == none, 'it is closed')
    assert l.ask(SLICE, queue='a', limits=(1 << 30, NONE, 0, 0)).result == 0
    until(lambda: connections() == none, 'it is closed')
    manager.end()
    a = l.run('ok', go=False)
    until(lambda: 'systemd does not answer' in l.log(), 'it was looked for')
    manager.begin()
    r = l.reply()
    assert (r.verb, r.result, r.text) == (START, 0, unit_of(a))
    a.say('GO=1\n')
    assert a.end()['EXIT_STATUS'] == '0'


def test_limits_of_a_queue(manager):
    l = manager.launcher
    l.start()
    r = l.ask(SLICE, queue='a-b.c', limits=(1 << 30, 50, 250, 300))
    assert (r.result, r.text) == (0, '')
    assert manager.properties('jobbers-a\\x2db.c.slice') == ['MemoryMax=1073741824', 'TasksMax=50', 'CPUQuotaPerSecUSec=2500000', 'CPUWeight=300']
    assert l.ask(SLICE, queue='none', limits=(NONE, NONE, 0, 0)).result == 0
    assert manager.properties('jobbers-none.slice') == [f'MemoryMax={NONE}', f'TasksMax={NONE}', f'CPUQuotaPerSecUSec={NONE}', f'CPUWeight={NONE}']
    assert l.ask(SLICE, queue='../x').result < 0
    manager.mode('refuse')
    r = l.ask(SLICE, queue='q', limits=(NONE, NONE, 0, 0))
    assert r.result < 0 and r.text == 'not today'


def test_without_a_manager(program):
    """auto goes without, scope refuses."""
    l = Launcher('cgroup', flags=('--user', '--launcher=scope'))
    try:
        os.makedirs(l.env['XDG_RUNTIME_DIR'], mode=0o700)
        l.env['DBUS_SESSION_BUS_ADDRESS'] = 'unix:path=/nowhere'
        l.start(wait_hello=False)
        assert l.process.wait(20) == 1
        assert 'no systemd manager answers' in l.log()
    finally:
        l.process = None
        l.close()
