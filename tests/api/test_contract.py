"""What a task executable sees, and what is taken from it (SPEC 4)."""
import json
import os
import pwd
import re
import signal
import socket
import threading
import time

import pytest
from harness import parent_of, until, when

# Writes what it is told to look at as its result.
PROBE = '''#!/usr/bin/python3
import json, os, sys
fds = sorted(int(f) for f in os.listdir('/proc/self/fd'))
fds.pop()                                       # the directory's own
status = dict(l.split(':', 1) for l in open('/proc/self/status'))
r = {
    'env': dict(os.environ), 'argv': sys.argv[1:], 'cwd': os.getcwd(), 'fds': fds, 'stdin': sys.stdin.read(),
    'file': open(os.environ['JOBBERS_PARAMETERS']).read(),
    'uid': os.getresuid(), 'gid': os.getresgid(), 'groups': os.getgroups(),
    'blocked': int(status['SigBlk'], 16), 'ignored': int(status['SigIgn'], 16) & ~(1 << 12) & ~(1 << 24),    # python's own: PIPE, XFSZ
    'umask': int(status['Umask'], 8), 'capabilities': int(status['CapEff'], 16), 'no_new_privs': int(status['NoNewPrivs']),
    'nofile': __import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE),
    'core': __import__('resource').getrlimit(__import__('resource').RLIMIT_CORE),
    'work': oct(os.stat(os.path.dirname(os.environ['JOBBERS_RESULT'])).st_mode & 0o7777),
    'session': os.getsid(0) == os.getpid(), 'oom': int(open('/proc/self/oom_score_adj').read()), 'nice': os.nice(0),
}
open(os.environ['JOBBERS_RESULT'], 'w').write(json.dumps(r))
'''


@pytest.mark.modes('system', 'user')
def test_what_it_sees(daemon):
    daemon.define('probe', PROBE, Environment='"GREETING=hello world" LANG=de_DE.UTF-8')
    daemon.file('probe.task', open(daemon.path('tasks.d', 'probe.task')).read().replace('ExecStart=probe', 'ExecStart=probe one "two words" $HOME %n ${USER} ;x'))
    daemon.reload()
    parameters = {'report_id': 42, 'text': 'ä "quoted" \n', 'nested': {'a': [1, 2.5, None, True]}}
    t = daemon.run('probe', parameters=parameters)
    assert t['status'] == 'completed', t
    r = t['results']

    assert json.loads(r['stdin']) == parameters
    assert r['file'] == r['stdin']
    assert r['argv'] == ['one', 'two words', '$HOME', '%n', '${USER}', ';x']        # no shell, nothing expanded
    assert r['cwd'] == '/'
    assert r['fds'] == [0, 1, 2]
    assert r['blocked'] == 0 and r['ignored'] == 0
    assert r['umask'] == 0o022
    assert r['work'] == '0o700'

    user = pwd.getpwnam('jobbers-task') if daemon.mode == 'system' else pwd.getpwuid(daemon.uid)
    assert r['uid'] == [user.pw_uid] * 3 and r['gid'] == [user.pw_gid] * 3
    if daemon.mode == 'system':
        assert set(r['groups']) <= {user.pw_gid}
        assert r['capabilities'] == 0
    assert r['oom'] >= 0 and r['nice'] == (0 if daemon.mode == 'system' else max(os.nice(0), 0))

    env = r['env']
    env.pop('PWD', None), env.pop('LC_CTYPE', None)               # made by the interpreter
    home = user.pw_dir
    work = os.path.dirname(env['JOBBERS_RESULT'])
    assert env.pop('NOTIFY_SOCKET')
    assert env.pop('PATH').split(':')[0].startswith('/')
    assert env == {'HOME': home, 'USER': user.pw_name, 'LANG': 'de_DE.UTF-8', 'GREETING': 'hello world',
                   'JOBBERS_TASK_ID': t['id'], 'JOBBERS_TASK_NAME': 'probe', 'JOBBERS_TASK_VERSION': '1', 'JOBBERS_QUEUE': 'default',
                   'JOBBERS_ATTEMPT': '1', 'JOBBERS_RETRY_ATTEMPT': '0', 'JOBBERS_PARAMETERS': env['JOBBERS_PARAMETERS'],
                   'JOBBERS_RESULT': os.path.join(work, 'result')}


def test_no_parameters_is_an_empty_object(daemon):
    daemon.define('cat', 'cat >"$JOBBERS_RESULT"')
    daemon.reload()
    assert daemon.run('cat')['results'] == {}


def test_what_the_definition_adds(daemon):
    daemon.define('probe', PROBE, WorkingDirectory='/usr', UMask='0077', EnvironmentFile='-/nonexistent', MaxHeartbeatIntervalSec='30s',
                  extra='[Resources]\nLimitNOFILE=100:200\n')
    daemon.file('env', '# a comment\nFROM_FILE="a b"\nOTHER=c\n', directory='libexec')
    daemon.file('probe.task.d/10-more.conf', f'[Task]\nEnvironmentFile={daemon.path("libexec", "env")}\n')
    daemon.reload()
    t = daemon.run('probe')
    assert t['status'] == 'completed', t
    r = t['results']
    assert r['cwd'] == '/usr' and r['umask'] == 0o077
    assert r['env']['FROM_FILE'] == 'a b' and r['env']['OTHER'] == 'c'
    assert r['env']['WATCHDOG_USEC'] == '30000000'
    assert r['nofile'] == [100, 200]


def test_user_of_the_definition(make_daemon, mode):
    if mode != 'system':
        pytest.skip('users are for system mode')
    d = make_daemon()
    d.define('asnobody', PROBE, User='nobody')
    d.define('asroot', 'id -u >&2; [ $(id -u) = 0 ]', User='root')
    d.start()
    t = d.run('asnobody')
    nobody = pwd.getpwnam('nobody')
    assert t['results']['uid'] == [nobody.pw_uid] * 3 and t['results']['gid'] == [nobody.pw_gid] * 3
    assert d.run('asroot')['status'] == 'completed'


@pytest.mark.parametrize('key, value', [('EnvironmentFile', '/nowhere/env'), ('User', 'no-such-user-here'), ('Launcher', 'scope')])
def test_what_could_not_be_started_has_no_exit_status(make_daemon, mode, key, value):
    """There never was a process that could have had one."""
    if mode != 'system':
        pytest.skip('users are for system mode')
    d = make_daemon(launcher='subprocess')
    d.define('never', 'exit 0', DeadLetterPolicy='save', **{key: value})
    d.start()
    t = d.run('never')
    a, = t['attempts']
    assert t['status'] == 'failed' and t['last_error'] == a['error'] and a['error']
    assert (a['end_reason'], a['exit_status'], a['signal']) == ('exit', None, None)
    assert 'ended: it could not be started' in d.ask('GET', f'/task/{t["id"]}/logs').text


def test_unknown_user_fails_with_a_sentence(make_daemon, mode):
    if mode != 'system':
        pytest.skip('users are for system mode')
    d = make_daemon()
    d.define('asghost', 'exit 0', User='no-such-user-here')
    d.define('ok', 'exit 0')
    d.start()
    a = d.ask('POST', '/submit-task', {'name': 'asghost', 'version': 1})
    if a.status == 200:
        t = d.wait_final(a.json['task']['id'])
        assert t['status'] == 'failed' and 'no-such-user-here' in t['last_error']
    else:
        assert a.status == 400
    assert d.run('ok')['status'] == 'completed'


# ── results ──

@pytest.mark.parametrize('text, sentence', [
    ('3', 'object'),
    ('[1]', 'object'),
    ('{"a": ', 'JSON'),
    ('{"a": 1} trailing', 'JSON'),
    ('\\377\\376', 'JSON'),
])
def test_results_that_are_none(daemon, text, sentence):
    daemon.define('bad', f"printf '{text}' >$JOBBERS_RESULT", DeadLetterPolicy='save')
    daemon.reload()
    t = daemon.run('bad')
    assert t['status'] == 'failed' and t['attempts'][0]['exit_status'] == 0
    assert sentence.lower() in t['last_error'].lower()
    assert t['results'] == {}


def test_empty_result_file(daemon):
    """Not the same as none: whatever was to fill it did not."""
    daemon.define('touch', ': >$JOBBERS_RESULT')
    daemon.reload()
    t = daemon.run('touch')
    assert t['status'] == 'failed' and t['last_error'] == 'the result is empty: it must be a JSON object'
    assert t['attempts'][0]['exit_status'] == 0


def test_result_at_and_over_the_limit(make_daemon):
    d = make_daemon(max_result='4K')
    d.define('big', '''#!/usr/bin/python3
import json, os, sys
n = json.load(sys.stdin)['n']
open(os.environ['JOBBERS_RESULT'], 'w').write('{"x": "' + 'y' * (n - 9) + '"}')
''')
    d.start()
    t = d.run('big', parameters={'n': 4096})
    assert t['status'] == 'completed' and len(t['results']['x']) == 4087
    t = d.run('big', parameters={'n': 4097})
    assert t['status'] == 'failed' and t['results'] == {} and 'larger' in t['last_error'], t['last_error']


@pytest.mark.parametrize('how', ['ln -s /etc/passwd "$JOBBERS_RESULT"', 'mkfifo "$JOBBERS_RESULT"', 'mkdir "$JOBBERS_RESULT"',
                                 'ln -s @DATA@/other "$JOBBERS_RESULT"; echo "{}" >@DATA@/other'])
def test_result_that_is_no_file(daemon, how):
    daemon.define('tricky', how)
    daemon.reload()
    t = daemon.run('tricky')
    assert t['status'] == 'failed' and t['results'] == {} and 'result' in t['last_error']


def test_the_result_file_may_be_written_by_rename(daemon):
    daemon.define('mover', 'echo \'{"a": 1}\' >"$JOBBERS_RESULT.new" && mv "$JOBBERS_RESULT.new" "$JOBBERS_RESULT"')
    daemon.reload()
    assert daemon.run('mover')['results'] == {'a': 1}


def test_result_is_taken_when_everybody_has_left(daemon):
    """A child that outlives the main process for a moment may still write it."""
    daemon.define('late', '''(trap 'echo "{\\"by\\": \\"child\\"}" >"$JOBBERS_RESULT"; exit 0' TERM; echo up >@BOX@; while :; do sleep 0.02; done) &
read -r x <@GATE@
exit 0''')
    daemon.reload()
    task_id = daemon.submit('late')
    daemon.box.line()
    daemon.gate.open()
    assert daemon.wait_final(task_id)['results'] == {'by': 'child'}


def test_errors_of_their_own(daemon):
    error = '{"error": {"type": "UpstreamDown", "message": "the service is away"}}'
    daemon.define('told', f"echo '{error}' >$JOBBERS_RESULT; exit 3")
    daemon.define('retried', f"[ $JOBBERS_ATTEMPT = 2 ] && exit 0\necho '{error}' >$JOBBERS_RESULT; exit 3", RetryOn='UpstreamDown')
    daemon.reload()
    t = daemon.run('told')
    assert t['status'] == 'failed' and t['last_error'] == 'the service is away' and t['attempts'][0]['error_type'] == 'UpstreamDown'
    t = daemon.run('retried')
    assert t['status'] == 'completed' and t['retry_attempt'] == 1


def test_retry_on_replaces_the_default(daemon):
    daemon.define('picky', 'exit $(cat | tr -dc 0-9)', RetryOn='3 EX_UNAVAILABLE', MaxRetries=1)
    daemon.reload()
    attempts = {n: len(daemon.run('picky', parameters={'n': n})['attempts']) for n in (3, 69, 75, 4)}
    assert attempts == {3: 2, 69: 2, 75: 1, 4: 1}


# ── talking while it runs ──

def test_heartbeats_keep_it_alive(daemon):
    daemon.define('beating', 'for i in 1 2 3 4 5 6; do sleep 0.3; systemd-notify WATCHDOG=1; done', MaxHeartbeatIntervalSec='1500ms')
    daemon.reload()
    t = daemon.run('beating')
    assert t['status'] == 'completed', t
    # the barrier of systemd-notify was answered each time: unanswered, it costs 5 s
    assert when(t['attempts'][0]['ended_at']) - when(t['attempts'][0]['started_at']) < 10
    assert when(t['heartbeat_at']) > when(t['started_at']) + 1.5


def test_status_and_progress_while_it_runs(daemon):
    daemon.define('talker', '''systemd-notify --status='half way, ä' X_JOBBERS_PROGRESS=50
echo said >@BOX@
read -r x <@GATE@
systemd-notify --status=done X_JOBBERS_PROGRESS=100''')
    daemon.reload()
    task_id = daemon.submit('talker')
    daemon.box.line()
    t = until(lambda: (lambda x: x if x['progress'] == 50 else None)(daemon.status(task_id)), 'the progress is there')
    assert t['status'] == 'started' and t['status_text'] == 'half way, ä'
    daemon.gate.open()
    t = daemon.wait_final(task_id)
    assert t['progress'] == 100 and t['status_text'] == 'done'


@pytest.mark.parametrize('message', ['X_JOBBERS_PROGRESS=101', 'X_JOBBERS_PROGRESS=-1', 'X_JOBBERS_PROGRESS=x', 'X_JOBBERS_PROGRESS='])
def test_nonsense_progress(daemon, message):
    daemon.define('nonsense', f'systemd-notify X_JOBBERS_PROGRESS=7; systemd-notify {message}')
    daemon.reload()
    t = daemon.run('nonsense')
    assert t['status'] == 'completed' and t['progress'] == 7


def test_status_that_is_not_text(daemon):
    daemon.define('binary', '''#!/usr/bin/python3
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in (b'STATUS=\\xff\\xfe\\x01', b'STATUS=' + b'x' * 60000, b'', b'\\0\\0', b'STATUS=fine'):
    s.sendto(text, os.environ['NOTIFY_SOCKET'])
''')
    daemon.reload()
    t = daemon.run('binary')
    assert t['status'] == 'completed' and t['status_text'] == 'fine'


def test_more_time_on_request(daemon):
    daemon.define('extended', 'systemd-notify EXTEND_TIMEOUT_USEC=20000000; sleep 0.7', TimeoutSec='400ms', MaxRetries=0)
    daemon.reload()
    t = daemon.run('extended')
    assert t['status'] == 'completed', t


def test_strangers_cannot_speak_for_it(daemon):
    daemon.define('listener', '''echo $NOTIFY_SOCKET >@BOX@
read -r x <@GATE@
systemd-notify X_JOBBERS_PROGRESS=60''')
    daemon.reload()
    task_id = daemon.submit('listener')
    path = daemon.box.line()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b'STATUS=evil\nX_JOBBERS_PROGRESS=99', path)
    daemon.gate.open()
    t = daemon.wait_final(task_id)
    assert t['progress'] == 60 and t['status_text'] is None


def test_its_own_children_can(daemon):
    daemon.define('parent', '(setsid sh -c "systemd-notify --status=grandchild") ; true')
    daemon.reload()
    assert daemon.run('parent')['status_text'] == 'grandchild'


# ── logs ──

def test_logs_in_order_and_complete(daemon):
    daemon.define('chatty', '''i=0
while [ $i -lt 200 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done
printf "no newline at the end"''')
    daemon.reload()
    t = daemon.run('chatty')
    text = daemon.ask('GET', f'/task/{t["id"]}/logs').text     # final means complete
    words = [line.split('out ')[-1].split('err ')[-1] for line in text.splitlines() if 'out ' in line or 'err ' in line]
    assert words == [str(i) for i in range(200) for _ in (0, 1)]
    assert 'no newline at the end' in text


def test_logs_of_all_attempts(daemon):
    """What an attempt printed stands between its start and its end, also when it printed nothing or half a line."""
    daemon.define('thrice', 'case $JOBBERS_ATTEMPT in 1) printf one;; 3) echo three;; esac; [ $JOBBERS_ATTEMPT = 3 ] || exit 75')
    daemon.reload()
    t = daemon.run('thrice')
    plain = [re.sub(r'^-- \S+Z', '--', line) for line in daemon.ask('GET', f'/task/{t["id"]}/logs').text.splitlines()]
    assert plain == ['-- attempt 1 started', 'one', '-- attempt 1 ended: exit status 75 (TEMPFAIL)',
                     '-- attempt 2 started', '-- attempt 2 ended: exit status 75 (TEMPFAIL)',
                     '-- attempt 3 started', 'three', '-- attempt 3 ended: exit status 0']
    assert daemon.ask('GET', f'/task/{t["id"]}/logs?lifecycle=false').text == 'one\nthree\n'


def test_logs_are_followed(daemon):
    daemon.define('streaming', '''echo one
read -r x <@GATE@
echo two
read -r x <@GATE@
echo three''')
    daemon.reload()
    task_id = daemon.submit('streaming')
    c = daemon.connection()
    c.request('GET', f'/task/{task_id}/logs?follow=true')
    r = c.getresponse()
    assert r.status == 200
    assert b' attempt 1 started' in r.readline()
    assert b'one' in r.readline()
    daemon.gate.open()
    assert b'two' in r.readline()
    daemon.gate.open()
    assert b'three' in r.readline()
    assert b' attempt 1 ended: exit status 0' in r.readline()
    assert r.read() == b''                  # and it ends with the task
    assert daemon.wait_final(task_id)['status'] == 'completed'


def test_logs_are_capped(make_daemon):
    d = make_daemon(max_log='8K')
    d.define('flood', '#!/usr/bin/python3\nimport sys\nfor i in range(20000): print("line %06d" % i)\nprint("the last line")\n')
    d.start()
    t = d.run('flood')
    assert t['status'] == 'completed'       # never kills the task
    text = d.ask('GET', f'/task/{t["id"]}/logs').text
    lines = [line for line in text.splitlines() if not line.startswith('-- 2')]         # starts and ends of attempts
    assert 'the last line' in lines[-1]
    assert len(text) <= 16 * 1024
    numbers = [int(line[-6:]) for line in lines if 'line 0' in line]
    assert numbers == list(range(numbers[0], 20000)) and numbers[0] > 0        # the oldest are cut, without gaps
    assert 'line 0' not in lines[0]         # and a mark says so


def test_output_after_a_closed_reader_does_not_kill_it(daemon):
    """stdout stays writable for as long as anything of the task lives."""
    daemon.define('late_talker', '(trap "" TERM; echo deaf >@BOX@; sleep 0.2; echo from the child; exit 0) & echo main; read -r x <@GATE@; exit 0', KillGraceSec='5s')
    daemon.reload()
    task_id = daemon.submit('late_talker')
    daemon.box.line()
    daemon.gate.open()
    t = daemon.wait_final(task_id)
    text = daemon.ask('GET', f'/task/{t["id"]}/logs').text
    assert t['status'] == 'completed' and 'main' in text and 'from the child' in text


# ── isolation ──

def test_tasks_cannot_reach_the_supervisors_files(daemon):
    """A task owns its work directory and nothing else of the attempt."""
    daemon.define('intruder', '''d=${JOBBERS_RESULT%/*}
touch "$d/../x" && exit 11
rm -f "$d/../control" ; [ -e "$d/../control" ] || exit 12
echo x >"$JOBBERS_PARAMETERS" && exit 13
ls @TMP@/state >/dev/null 2>&1 && exit 14
exit 0''')
    daemon.reload()
    if daemon.mode == 'user':
        pytest.skip('in user mode there is no boundary')
    t = daemon.run('intruder')
    assert t['attempts'][0]['exit_status'] == 0, t


def test_control_socket_refuses_tasks(daemon):
    if daemon.mode == 'user':
        pytest.skip('in user mode there is no boundary')
    daemon.define('caller', '''#!/usr/bin/python3
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try:
    s.connect(os.path.join(os.path.dirname(os.environ['JOBBERS_RESULT']), '..', 'control'))
    s.send(b'STOP=cancelled\\n')
    s.settimeout(1)
    if s.recv(100): sys.exit(5)
except OSError:
    pass
''')
    daemon.reload()
    assert daemon.run('caller')['status'] == 'completed'


def test_the_supervisor_survives_its_tasks_signals(daemon):
    daemon.define('striker', 'kill -TERM $PPID 2>/dev/null; kill -KILL $PPID 2>/dev/null; echo up $$ >@BOX@; read -r x <@GATE@; exit 0')
    daemon.reload()
    if daemon.mode == 'user':
        pytest.skip('in user mode there is no boundary')
    task_id = daemon.submit('striker')
    pid = int(daemon.box.words()[1])
    supervisor = parent_of(pid)
    os.kill(supervisor, signal.SIGTERM)         # PID 1 does that at shutdown: the daemon decides, not the signal
    daemon.gate.open()
    assert daemon.wait_final(task_id)['status'] == 'completed'


def test_many_at_once_do_not_mix(daemon):
    daemon.define('echo', '#!/bin/sh\ncat >"$JOBBERS_RESULT"; echo "$JOBBERS_TASK_ID"')
    daemon.reload()
    ids = {}

    def one(k):
        for i in range(8):
            ids[daemon.submit('echo', parameters={'k': k, 'i': i})] = {'k': k, 'i': i}
        daemon.forget_connection()

    threads = [threading.Thread(target=one, args=(k,)) for k in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(ids) == 64
    for task_id, parameters in ids.items():
        assert daemon.wait_final(task_id)['results'] == parameters
        assert daemon.ask('GET', f'/task/{task_id}/logs').text.count(task_id) >= 1


def test_resources_are_measured(daemon):
    daemon.define('busy', '#!/usr/bin/python3\nimport time\nx = bytearray(40 << 20)\nt = time.process_time()\nwhile time.process_time() < t + 0.15: pass\n')
    daemon.reload()
    before = time.monotonic()
    r = daemon.run('busy')['attempts'][0]['resources']
    assert 150_000 <= r['cpu_usec'] < (time.monotonic() - before + 1) * 2e6
    assert r['memory_peak'] is None or r['memory_peak'] > 40 << 20
