"""Every verb, against a daemon that runs."""
import os
import re
import time

from ctl import Ctl
from harness import TREE, Daemon, until, when

INSTALLED = ('/etc/jobbers/tasks.d', '/run/jobbers/tasks.d', '/usr/local/lib/jobbers/tasks.d', '/usr/lib/jobbers/tasks.d')
ULID = re.compile(r'[0-9A-HJKMNP-TV-Z]{26}')


def verbs():
    with open(os.path.join(TREE, 'jobbersctl', 'verbs.def')) as f:
        return re.findall(r'^VERB\(\w+, "([a-z-]+)"', f.read(), re.M)


def test_no_verb_is_forgotten():
    here = os.path.dirname(os.path.abspath(__file__))
    text = ''.join(open(os.path.join(here, name)).read() for name in os.listdir(here) if name.startswith('test_'))
    missing = [v for v in verbs() if f"'{v}'" not in text]
    assert not missing


# ── tasks ──

def test_submit(ctl):
    task = ctl.submit('ok')
    assert ULID.fullmatch(task)
    assert ctl.daemon.wait_final(task)['status'] == 'completed'


def test_submit_options(ctl):
    mine = '01JBKR2E5F3G4H5J6K7M8N9P0Q'
    for _ in range(2):      # the same call again is harmless
        assert ctl.submit('echo', 'whom=me', f'--id={mine}', '--priority=7', '--task-version=2') == mine
    t = ctl.daemon.wait_final(mine)
    assert (t['priority'], t['version'], t['parameters']) == (7, 2, {'whom': 'me'})
    later = ctl.json('submit', 'ok', '--at=+1h')
    assert later['status'] == 'scheduled'
    assert ctl.json('submit', 'ok', '--at=2099-01-01T06:00:00+02:00')['scheduled_at'] == '2099-01-01T04:00:00.000000Z'
    ctl('cancel', '--status=scheduled')


def test_parameters_are_typed(ctl):
    ctl('submit', 'echo', 'whom=42', 'n=7', 'x=1.5', 'yes=true', 'list:=[1, "two"]', '--wait')
    t = ctl.json('list', '--all', '--task=echo', '--limit=1')[0]
    assert t['version'] == 2, 'the newest'
    assert t['parameters'] == {'whom': '42', 'n': 7, 'x': 1.5, 'yes': True, 'list': [1, 'two']}
    assert t['results'] == t['parameters']
    task = ctl('submit', 'echo', '--task-version=1', '-', input='{"deep": {"er": [null]}}').strip()
    assert ctl.daemon.wait_final(task)['results'] == {'deep': {'er': [None]}}


def test_submit_wait_and_follow(ctl):
    out = ctl('submit', 'say', '--wait').splitlines()
    assert len(out) == 1 and ULID.fullmatch(out[0])
    out = ctl('submit', 'say', '--follow').splitlines()
    assert ULID.fullmatch(out[0]) and [line for line in out[1:] if not line.startswith('-- ')] == ['first', 'second']
    status, out, err = ctl.all('submit', 'exit', 'n=3', '--wait')
    assert status == 3 and 'failed: exit status 3' in err


def test_list(ctl, daemon):
    ctl = Ctl(daemon)
    assert ctl('list') == '0 tasks. --all shows those that have ended, too.\n'
    done = [ctl.submit('ok') for _ in range(3)]
    for t in done:
        ctl('wait', t)
    held = ctl.submit('progress')
    daemon.box.line()
    waits = ctl.submit('ok', '--at=+1h')
    ctl('set-queue', 'closed', errors='jobbersctl: queue "closed" is not served by this daemon (role: default): no task of it starts until you run: '
        'jobbersctl set-role default +closed\n')
    ctl('pause', 'closed')
    stuck = ctl.all('submit', 'ok', '--queue=closed')[1].strip()

    rows = [line.split() for line in ctl('list').splitlines()]
    assert rows[0] == ['ID', 'TASK', 'QUEUE', 'STATE', 'SINCE', 'INFO']
    assert [r[0] for r in rows[1:4]] == [held, stuck, waits], 'running first, then what waits'
    assert [r[3] for r in rows[1:4]] == ['started', 'submitted', 'scheduled']
    assert '42% importing the rows' in ctl('list') and 'in 1h' in ctl('list')
    assert [t['id'] for t in ctl.json('list', '--all')] == done + [held, waits, stuck], 'newest last'
    assert [t['id'] for t in ctl.json('list', '--status=completed', '--limit=2')] == done[1:], 'the newest'
    assert [t['id'] for t in ctl.json('list', '--queue=closed')] == [stuck]
    assert [t['id'] for t in ctl.json('list', '--task=progress')] == [held]
    assert len(ctl.json('list', '--since=1h')) == 6 and ctl.json('list', '--since=2099-01-01T00:00:00Z') == []
    assert '2 tasks shown, and there are more (--limit=N).' in ctl('list', '--limit=2')
    assert ctl('list', '--limit=3').splitlines()[-1].startswith('3 tasks.')
    assert ctl() == ctl('list'), 'no verb is list'
    daemon.gate.open()
    ctl('wait', held)


def test_list_goes_over_many_pages(daemon):
    ctl = Ctl(daemon)
    daemon.post('/drain', {'enabled': True})
    for _ in range(3):
        daemon.post('/submit-tasks', {'tasks': [{'name': 'ok', 'version': 1}] * 800})
    ids = [t['id'] for t in ctl.json('list', '--limit=2300')]
    assert len(ids) == len(set(ids)) == 2300
    newest = [t['id'] for t in ctl.json('list', '--all', '--limit=1700')]
    assert len(newest) == len(set(newest)) == 1700 and newest[0] == ids[700] and newest[:1600] == ids[700:]


def test_status_of_a_task(ctl):
    task = ctl.submit('say')
    ctl('wait', task)
    out = ctl('status', task)
    assert out.startswith(f'● {task} - say version 1: Says two lines\n')
    for part in ('State: completed since ', 'Queue: default', 'Submitted: ', 'Started: ', 'Ended: ', 'Result: {"said": 2}', 'exit status 0',
                 '\nfirst\nsecond\n', 'ATTEMPT STARTED', 'CPU', 'MEMORY'):
        assert part in out, part
    assert 'second' not in ctl('status', task, '--lines=0')
    two = ctl('status', task, task, '-n1')
    assert two.count('● ') == 2
    assert ctl.json('status', task)['id'] == task


def test_status_has_the_last_ten_lines(ctl, shared):
    shared.define('lines', 'seq 1 30')
    shared.reload()
    task = ctl.submit('lines')
    ctl('wait', task)
    tail = ctl('status', task).rstrip('\n').split('\n\n')[-1].splitlines()
    assert tail[:-1] == [str(n) for n in range(22, 31)] and tail[-1].startswith('-- ')


def test_status_of_a_running_task(ctl):
    task = ctl.submit('progress')
    ctl.daemon.box.line()
    out = until(lambda: (lambda s: s if 'Progress' in s else None)(ctl('status', task)), 'its progress')
    assert re.search(r'Progress: █+░+ 42%\n', out) and 'Status: "importing the rows' in out and 'State: started since' in out
    ctl('cancel', task, '--wait')
    assert ctl.json('status', task)['status'] == 'cancelled'


def test_since_when(ctl, shared):
    """What it is since then, not what it was before a retry."""
    def local(stamp):
        return time.strftime('%H:%M:%S', time.localtime(int(when(stamp))))

    shared.define('slow', 'sleep 1.1\n[ $JOBBERS_ATTEMPT = 2 ] || exit 75\necho start >@BOX@\nread -r x <@GATE@\nexit 75', RetryDelaySec='2s', MaxRetries=2)
    shared.reload()
    task = ctl.submit('slow')

    def said(state):
        t = until(lambda: (lambda t: t if t['status'] == state else None)(ctl.json('status', task)), state)
        row = [r for r in ctl('list').splitlines() if r.startswith(task)][0]
        return t, re.search(rf'State: {state} since \w+ [-0-9]+ ([:0-9]+) ', ctl('status', task)).group(1), row
    t, since, row = said('scheduled')
    assert since == local(t['attempts'][0]['ended_at']) != local(t['submitted_at']) and f' {since} ' in row
    assert re.search(r' (in \S+|due), retry 1: exit status 75', row)
    shared.box.line()
    t, since, row = said('started')
    assert since == local(t['retried_at']) != local(t['started_at']) and row.endswith(f' {since} retry 1'), 'no colon without more'
    ctl('cancel', '-q', task, '--wait')


def test_status_of_the_daemon(ctl):
    out = ctl('status')
    for part in ('jobbersd ', 'State: ready\n', f'Main PID: {ctl.daemon.process.pid}', ctl.daemon.path('state'), 'of 8 slots busy, role default',
                 'QUEUE', 'default'):
        assert part in out, part
    assert ctl.json('status')['pid'] == ctl.daemon.process.pid


def test_wait(ctl):
    good, bad = ctl.submit('ok'), ctl.submit('exit', 'n=5')
    assert ctl('wait', good) == f'{good} completed\n'
    assert ctl('wait', good, bad, status=1) == f'{good} completed\n{bad} failed\n'
    assert ctl('wait', '-q', good) == ''


def test_logs(ctl):
    task = ctl.submit('say')
    ctl('wait', task)
    assert [line for line in ctl('logs', task).splitlines() if not line.startswith('-- ')] == ['first', 'second']
    assert ctl('logs', task, '--no-lifecycle') == 'first\nsecond\n'
    assert ctl('logs', task, '--no-lifecycle', '-n', '1') == 'second\n'
    assert ctl('logs', '-f', task) == ctl('logs', task)


def test_logs_follow(ctl):
    task = ctl.submit('hold')
    p = ctl.popen('logs', '-f', '--no-lifecycle', task)
    assert p.stdout.readline() == 'held\n', 'while it runs'
    ctl.daemon.gate.open()
    assert p.communicate(timeout=60) == ('', '') and p.returncode == 0


def test_logs_follow_from_the_last_lines(ctl, shared):
    shared.define('counts', 'seq 1 5; printf six; echo start >@BOX@\nread -r x <@GATE@\necho " and more"; seq 7 8')
    shared.reload()
    task = ctl.submit('counts')
    shared.box.line()
    until(lambda: 'six' in ctl('logs', task), 'what it printed')
    followers = {n: ctl.popen('logs', '-f', '--no-lifecycle', '-n', n, task) for n in ('0', '2', '99')}
    assert followers['2'].stdout.readline() == '5\n' and followers['99'].stdout.readline() == '1\n'
    time.sleep(0.3)
    shared.gate.open()
    out = {n: p.stdout.read() for n, p in followers.items()}
    rest = 'six and more\n7\n8\n'
    assert out['2'] == rest and out['99'] == '2\n3\n4\n5\n' + rest and rest.endswith(out['0'])
    assert ctl('logs', '-f', '--no-lifecycle', '-n', '3', task) == rest, 'of one that has ended'


def test_cancel(ctl):
    a, b = ctl.submit('ok', '--at=+1h'), ctl.submit('ok', '--at=+1h')
    ctl('cancel', a)
    assert ctl.daemon.status(a)['status'] == 'cancelled'
    assert ctl('cancel', '--task=ok', '--status=scheduled', '--dry-run') == '1 task matches (dry run, nothing changed).\n'
    assert ctl('cancel', '--task=ok', '--status=scheduled') == '1 task cancelled.\n'
    assert ctl('cancel', '--task=ok', '--status=scheduled') == 'No task matched.\n'
    assert ctl.daemon.status(b)['status'] == 'cancelled'


def test_resubmit(ctl):
    task = ctl.submit('exit', 'n=4')
    ctl('wait', task, status=1)
    ctl('resubmit', task)
    ctl('wait', task, status=1)
    assert len(ctl.json('status', task)['attempts']) == 2
    assert re.fullmatch(r'\d+ tasks? match(es)? \(dry run, nothing changed\)\.\n', ctl('resubmit', '--task=exit', '--dry-run'))


def test_what_a_task_waits_for(daemon):
    ctl = Ctl(daemon)

    def waits(task):
        [line] = [line.strip() for line in ctl('status', task).splitlines() if 'Waits for:' in line]
        return line.removeprefix('Waits for: ')
    daemon.define('alone', 'echo start $JOBBERS_TASK_ID >@BOX@\nread -r x <@GATE@', MaxConcurrent=1)
    daemon.reload()
    for q in ('closed', 'narrow', 'rated', 'away'):
        ctl('set-queue', '-q', q)
    ctl('set-role', '-q', 'default', '+closed', '+narrow', '+rated')
    running = ctl.submit('alone')
    daemon.box.line()
    assert 'Waits for' not in ctl('status', running)
    assert waits(ctl.submit('alone')) == 'others of its kind: as many as may run at once are running (MaxConcurrent=1)'
    ctl('pause', '-q', 'closed')
    assert waits(ctl.submit('ok', '--queue=closed', '-q')) == 'queue "closed", which is paused (jobbersctl resume closed)'
    assert waits(ctl.submit('ok', '--queue=away', '-q')) == 'a role of this daemon that has queue "away" (jobbersctl roles)'
    ctl('set-queue', '-q', 'narrow', 'max_concurrent=1')
    others = [ctl.submit('hold', '--queue=narrow')]
    daemon.box.line()
    assert waits(ctl.submit('ok', '--queue=narrow')) == 'queue "narrow": as many as may run at once are running (max_concurrent=1)'
    ctl('set-queue', '-q', 'rated', 'rate=1/hour')
    ctl('wait', ctl.submit('ok', '--queue=rated'))
    assert waits(ctl.submit('ok', '--queue=rated')) == 'the rate of queue "rated" (1/hour)'
    for _ in range(6):
        others.append(ctl.submit('hold'))
        daemon.box.line()
    last = ctl.submit('ok')
    assert waits(last) == 'a slot: all 8 are busy'
    ctl('drain', '-q')
    assert waits(last) == 'the end of the drain (jobbersctl drain off)'
    ctl('cancel', '-q', '--status=started')
    for task in others + [running]:
        daemon.wait_final(task)


def test_dlq(daemon):
    ctl = Ctl(daemon)
    assert ctl('dlq') == '0 dead letters.\n'
    task = ctl.submit('dead')
    ctl('wait', task, status=1)
    for words in (['dlq'], ['dlq', 'list'], ['dlq', '--task=dead', '--queue=default']):
        out = ctl(*words)
        assert task in out and 'exit status 70' in out and out.endswith('\n1 dead letter.\n')
    assert ctl.json('dlq', '--task=ok') == []
    rows = ctl('dlq', 'history', task).splitlines()
    assert rows[0].endswith(' ERROR') and rows[1].endswith(' exit status 70 exit status 70 (SOFTWARE)'), rows
    assert ctl('dlq', 'resubmit', task) == '1 task resubmitted.\n'
    ctl('wait', task, status=1)
    assert len(ctl.json('dlq', 'history', task)['history']) == 2
    assert ctl('dlq', 'resubmit', '--task=dead', '--keep-retries') == '1 task resubmitted.\n'
    ctl('wait', task, status=1)
    assert ctl('dlq', 'remove', task) == '1 dead letter removed.\n'
    assert ctl.json('dlq') == []


def test_dlq_resubmits_all_or_says_that_there_are_more(daemon):
    ctl = Ctl(daemon)

    def die(n):
        for t in daemon.post('/submit-tasks', {'tasks': [{'name': 'dead', 'version': 1}] * n})['tasks']:
            daemon.wait_final(t['id'])
    die(105)
    ctl('pause', '-q', 'default')
    assert ctl('dlq', 'resubmit', '--task=dead', '--limit=2') == '2 tasks resubmitted, and there are more; run the same command again for the rest.\n'
    assert ctl('dlq', 'resubmit', '--task=dead') == '103 tasks resubmitted.\n', 'more than the daemon takes where nothing is said'
    assert ctl('dlq') == '0 dead letters.\n'
    assert ctl('dlq', 'resubmit', '--task=dead', '--limit=1000000') == '0 tasks resubmitted.\n'


# ── queues and roles ──

def test_queues(daemon):
    ctl = Ctl(daemon)
    hint = ('jobbersctl: queue "reports" is not served by this daemon (role: default): no task of it starts until you run: '
            'jobbersctl set-role default +reports\n')
    assert ctl('set-queue', 'reports', 'max_concurrent=2', 'rate=5/10minute', 'memory_max=1G', errors=hint) == 'Queue reports made.\n'
    assert ctl.refused('set-queue', 'reports', status=2) == (
        'jobbersctl: there is a queue "reports" already: say what to change: KEY=VALUE. See: jobbersctl set-queue --help')
    assert ctl('set-queue', 'reports', 'cpu_quota=150%', 'cpu_weight=50', 'tasks_max=99', '-q') == ''
    q = ctl.json('queues', 'reports')
    assert {k: q[k] for k in ('max_concurrent', 'rate_numerator', 'rate_denominator', 'rate_period', 'memory_max', 'cpu_quota', 'cpu_weight',
                              'tasks_max', 'served', 'waiting')} == {
        'max_concurrent': 2, 'rate_numerator': 5, 'rate_denominator': 10, 'rate_period': 'minute', 'memory_max': 2 ** 30, 'cpu_quota': '150%',
        'cpu_weight': 50, 'tasks_max': 99, 'served': False, 'waiting': 0}, 'what was not named stays'
    rows = [line.split() for line in ctl('queues').splitlines()]
    assert rows[2] == ['reports', '0', '2', '0', '5/10minute', '1.0G', '150%', 'not', 'served']
    assert ctl('set-role', 'default', '+reports') == 'Role default serves: default reports\n'
    assert ctl('set-queue', 'reports', 'rate=none', 'memory_max=none', 'max_concurrent=none') == 'Queue reports changed.\n'
    q = ctl.json('queues', 'reports')
    assert (q['rate_numerator'], q['memory_max'], q['max_concurrent'], q['cpu_weight']) == (None, None, None, 50)
    assert 'State: open' in ctl('queues', 'reports')
    assert ctl('pause', 'reports', 'default').count('paused') == 2
    assert ctl.json('queues', 'reports')['paused'] and 'paused' in ctl('queues')
    assert ctl('resume', 'reports', 'default') == 'Queue reports resumed.\nQueue default resumed.\n'
    ctl('submit', 'ok', '--queue=reports', '--at=+1h')
    assert ctl('delete-queue', 'reports', '--force') == 'Queue reports deleted.\n'
    assert len(ctl.json('queues')) == 1


def test_roles(daemon):
    ctl = Ctl(daemon)
    ctl('set-queue', '-q', 'a')
    ctl('set-queue', '-q', 'b')
    assert ctl('set-role', 'night', 'a', 'b') == 'Role night serves: a b\n'
    assert ctl('set-role', 'night', 'b') == 'Role night serves: b\n'
    assert ctl('set-role', 'night', '+a') == 'Role night serves: a b\n'
    rows = [line.split() for line in ctl('roles').splitlines()]
    assert rows[1] == ['default', 'yes', '0', '8', 'default'] and rows[2] == ['night', 'no', '-', '-', 'a', 'b']
    assert ctl.json('roles', 'night') == {'role': 'night', 'queues': ['a', 'b'], 'served': False}
    assert ctl.refused('set-role', 'night', status=2) == (
        'jobbersctl: which queues is role "night" to serve? See: jobbersctl queues. To leave it none: jobbersctl set-role night ""')
    assert ctl.json('roles', 'night')['queues'] == ['a', 'b']
    assert ctl('set-role', 'night', '') == 'Role night serves: nothing\n'
    assert ctl('delete-role', 'night') == 'Role night deleted.\n'
    assert ctl('set-role', 'night', '') == 'Role night serves: nothing\n' and ctl('set-role', 'day') == 'Role day serves: nothing\n', 'new ones'
    ctl('delete-role', 'night', '-q')
    ctl('delete-role', 'day', '-q')
    assert len(ctl.json('roles')) == 1


# ── definitions ──

def test_tasks(ctl):
    out = ctl('tasks')
    assert re.search(r'^echo +2 +- +3 +-', out, re.M) and 'Says two lines' in out and re.search(r'\d+ tasks registered\.\n$', out)
    one = ctl('tasks', 'echo')
    assert one.startswith('echo version 2') and re.search(r'^whom +string +yes$', one, re.M) and re.search(r'^n +integer +no$', one, re.M)
    assert 'Parameters: any' in ctl('tasks', 'echo', '--task-version=1')
    assert ctl.json('tasks', 'echo')['version'] == 2


def test_reload(daemon):
    ctl = Ctl(daemon)
    daemon.define('fresh', 'exit 0')
    before = len(ctl.json('tasks'))
    assert ctl('reload') == f'{before + 1} definitions in force.\n'
    ctl('run', 'fresh')
    daemon.file('fresh.task', '[Task]\nName=fresh\nVersion=1\n')
    out = ctl('reload', errors=daemon.path('tasks.d', 'fresh.task') + ': ExecStart= is missing in [Task]\n'
              'jobbersctl: 1 error in task files; a file\'s last good version, if there is one, stays in force. See: jobbersctl verify\n')
    assert out == f'{before + 1} definitions in force.\n'


def test_verify_and_cat_and_edit_need_no_daemon(tmp_path):
    """As an ordinary user has them: below XDG_CONFIG_HOME."""
    tasks = tmp_path / 'jobbers' / 'tasks.d'
    tasks.mkdir(parents=True)
    (tasks / 'mine.task').write_text('[Task]\nName=mine\nVersion=1\nExecStart=/bin/true\n')
    ctl = Ctl(XDG_CONFIG_HOME=str(tmp_path), XDG_STATE_HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path), HOME=str(tmp_path), EDITOR='false')
    assert ctl('verify', '--user') == '1 task definition, no problem.\n'
    assert f'# {tasks}/mine.task\n[Task]\nName=mine\n' in ctl('cat', '--user', 'mine')
    bad = tmp_path / 'bad.task'
    bad.write_text('[Task]\nName=bad\nVersion=one\nExecStart=/bin/true\n')
    status, out, err = ctl.all('verify', '--user', str(bad))
    assert status == 1 and f'{bad}:3:' in err
    assert 'the editor ended with an error' in ctl.refused('edit', '--user', 'mine')
    assert 'no task "other" is registered' in ctl.refused('cat', '--user', 'other', status=4)
    (tasks / 'mine.task').unlink()
    (tasks / 'mine.task.d' / 'override.conf').unlink()
    if not any(os.path.isdir(d) and os.listdir(d) for d in INSTALLED):
        assert ctl('verify', '--user') == f'There is no task definition in {tasks}, {", ".join(INSTALLED[:-1])} or {INSTALLED[-1]}.\n'


def test_a_broken_definition_is_shown_and_edited(tmp_path):
    """One save with a mistake is no dead end, and the mistakes of others stop nobody."""
    daemon = Daemon('user')
    del daemon.settings['task-dir']
    config = daemon.path('home')
    tasks = daemon.path('home', 'jobbers', 'tasks.d')
    text = daemon.path('data', 'text')
    editor = daemon.script('editor', f'cat {text} >"$1"')

    def save(what):
        with open(text, 'w') as f:
            f.write(what)
        os.chmod(text, 0o644)
    daemon.file('mine.task', '[Task]\nName=hi\nVersion=1\nExecStart=/bin/true\n', directory='home/jobbers/tasks.d')
    for path in (config + '/jobbers', tasks):
        os.chown(path, daemon.uid, daemon.uid)
    try:
        daemon.start()
        as_user = ['/usr/bin/setpriv', f'--reuid={daemon.uid}', f'--regid={daemon.uid}', '--clear-groups'] if os.geteuid() == 0 else []
        ctl = Ctl(daemon, XDG_CONFIG_HOME=config, EDITOR=editor)
        edit = ['edit', '--user', f'--socket={daemon.path("s")}', 'hi']
        override = f'{tasks}/mine.task.d/override.conf'
        save('[Task]\nMaxRetries=many\n')
        for _ in range(2):
            status, out, err = ctl.all(*edit, prefix=as_user)
            lines = err.splitlines()
            assert (status, out, len(lines)) == (1, '', 2) and lines[0].startswith(f'{override}:2: MaxRetries=many')
            assert lines[1] == 'jobbersctl: not reloaded: correct the file first (jobbersctl edit hi).'
        status, out, err = ctl.all('cat', '--user', 'hi', prefix=as_user)
        assert status == 0 and f'# {override}\n[Task]\nMaxRetries=many\n' in out and err.startswith(f'{override}:2:')
        daemon.file('other.task', '[Task]\nName=other\nVersion=one\nExecStart=/bin/true\n', directory='home/jobbers/tasks.d')
        save('[Task]\nMaxRetries=9\n')
        status, out, err = ctl.all(*edit, prefix=as_user)
        assert status == 0 and out == '1 definition in force.\n' and f'{tasks}/other.task:3:' in err and err.count('other.task') == 1
        assert ctl.json('tasks', 'hi', prefix=as_user)['max_retries'] == 9
        daemon.file('mine.task', '[Task]\nName=hi\nVersion=1\nExecStart=/bin/true\nNonsense=1\n', directory='home/jobbers/tasks.d')
        status, out, err = ctl.all(*edit, prefix=as_user)
        assert status == 1 and err.endswith(f'\njobbersctl: not reloaded: correct {tasks}/mine.task first, then: jobbersctl reload\n')
    finally:
        daemon.close(check=False)


def test_edit_reloads():
    """An edit of an ordinary user's definition is in force when the verb returns."""
    daemon = Daemon('user')
    del daemon.settings['task-dir']
    config = daemon.path('home')
    editor = daemon.script('editor', 'printf "[Task]\\nMaxRetries=9\\n" >"$1"')
    daemon.file('mine.task', '[Task]\nName=mine\nVersion=1\nExecStart=/bin/true\n', directory='home/jobbers/tasks.d')
    os.chown(config + '/jobbers', daemon.uid, daemon.uid)
    os.chown(config + '/jobbers/tasks.d', daemon.uid, daemon.uid)
    try:
        daemon.start()
        as_user = ['/usr/bin/setpriv', f'--reuid={daemon.uid}', f'--regid={daemon.uid}', '--clear-groups'] if os.geteuid() == 0 else []
        ctl = Ctl(daemon, XDG_CONFIG_HOME=config, EDITOR=editor)
        out = ctl('edit', '--user', f'--socket={daemon.path("s")}', 'mine', prefix=as_user)
        assert out.splitlines()[-1].endswith('definition in force.')
        assert ctl.json('tasks', 'mine', prefix=as_user)['max_retries'] == 9
        # Its own daemon is found without being told where, when the system's is not there.
        os.makedirs(daemon.path('run', 'jobbers'), exist_ok=True)
        os.symlink(daemon.path('s'), daemon.path('run', 'jobbers', 'jobbers.sock'))
        ctl = Ctl(XDG_CONFIG_HOME=config, XDG_RUNTIME_DIR=daemon.path('run'))
        assert ctl.json('tasks', 'mine', prefix=as_user) == ctl.json('tasks', 'mine', '--user', prefix=as_user)
    finally:
        daemon.close(check=False)


# ── the daemon ──

def test_drain(daemon):
    ctl = Ctl(daemon)
    task = ctl.submit('hold')
    daemon.box.line()
    assert ctl('drain') == 'No more tasks are started; 1 task still running. To start tasks again: jobbersctl drain off\n'
    assert 'draining' in ctl('status')
    waiting = ctl.popen('drain', '--wait')
    assert waiting.stdout.readline() == ('No more tasks are started; waiting for 1 task still running. Ctrl-C ends the waiting, not the drain. '
                                         'To start tasks again: jobbersctl drain off\n')
    daemon.gate.open()
    assert waiting.communicate(timeout=60)[0] == 'No task is running, and none is started until you run: jobbersctl drain off\n' and waiting.returncode == 0
    assert ctl.json('status', task)['status'] == 'completed'
    status, out, err = ctl.all('submit', 'ok', '--queue=default')
    assert status == 0 and 'draining: the task waits until you run: jobbersctl drain off' in err
    assert ctl('drain', '--wait') == 'No task is running, and none is started until you run: jobbersctl drain off\n'
    assert ctl('drain', 'off') == 'Tasks are started again.\n'
    ctl('wait', out.strip())


def test_backup(daemon):
    assert os.path.exists(Ctl(daemon)('backup').strip())


def test_show_metrics(ctl):
    ctl('run', 'ok')
    assert re.search(r'^tasks_processed_total\{.*task="ok".*status="completed"\} \d+$', ctl('show-metrics'), re.M)


def test_top_once(ctl):
    task = ctl.submit('progress')
    ctl.daemon.box.line()
    until(lambda: ctl.json('status', task)['progress'] == 42, 'its progress')
    for words in (['top'], ['top', '--once']):
        out = ctl(*words)
        assert re.search(r'^█*░+ \d of 8 slots, role default$', out, re.M) and '\033' not in out
        assert re.search(rf'^{task} progress +default .*█+░+  42% importing the rows of a file whose name is rather long$', out, re.M)
    both = ctl.json('top')
    assert both['status']['running'] >= 1 and task in [t['id'] for t in both['tasks']]
    ctl('cancel', task, '--wait')
