"""What a new daemon makes of what an old one left (SPEC 8, RELIABILITY: the windows around a launch)."""
import os
import re
import shutil
import signal
import sqlite3

import pytest
from harness import alive, until


pytestmark = pytest.mark.modes('system', 'user')


def started(daemon, name='hold', **body):
    """Submits a task that says when it runs; (id, its pid, its supervisor's pid)."""
    task_id = daemon.submit(name, **body)
    words = daemon.box.words()
    assert words[0] == 'start' and words[1] == task_id
    return task_id, daemon.main_pid(task_id), daemon.supervisor_pid(task_id)


@pytest.fixture
def d(daemon):
    return daemon


def test_running_attempts_are_adopted(daemon):
    daemon.define('worker', 'echo start >@BOX@\nread -r x <@GATE@\necho \'{"n": 7}\' >$JOBBERS_RESULT')
    daemon.reload()
    ids = [daemon.submit('worker') for _ in range(5)]
    for _ in ids:
        daemon.box.line()
    daemon.kill9()
    daemon.start()
    for i in ids:
        assert daemon.status(i)['status'] == 'started'
    daemon.gate.open(5)
    for i in ids:
        t = daemon.wait_final(i)
        assert t['status'] == 'completed' and t['results'] == {'n': 7}
        assert len(t['attempts']) == 1
    assert daemon.box.empty()               # nobody started twice


def test_adopted_twice_and_cancelled(d):
    task_id, pid, supervisor = started(d)
    for _ in range(3):
        d.kill9()
        assert alive(pid)
        d.start()
    d.cancel(task_id)
    t = d.wait_final(task_id)
    assert t['status'] == 'cancelled' and t['attempts'][0]['end_reason'] == 'cancelled' and not alive(pid)
    assert len(t['attempts']) == 1


def test_adopted_ones_still_report(d):
    d.define('talker', 'echo start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@\nsystemd-notify --status=later\necho said >@BOX@\nread -r x <@GATE@')
    d.reload()
    task_id, pid, supervisor = started(d, 'talker')
    d.kill9()
    d.start()
    d.gate.open()
    assert d.box.line() == 'said'
    until(lambda: d.status(task_id)['status_text'] == 'later', 'the status text is there')
    d.gate.open()
    assert d.wait_final(task_id)['status'] == 'completed'


def test_ended_while_nobody_was_there(d):
    d.define('worker', 'echo start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@\necho \'{"n": 8}\' >$JOBBERS_RESULT\nexit $(tr -dc 0-9)')
    d.reload()
    good, pid_good, supervisor_good = started(d, 'worker', parameters={'s': 0})
    bad, pid_bad, supervisor_bad = started(d, 'worker', parameters={'s': 9})
    supervisors = [supervisor_good, supervisor_bad]
    d.kill9()
    d.gate.open(2)
    until(lambda: not any(map(alive, supervisors)), 'both are over')
    assert set(d.records()) == {f'{good}.1', f'{bad}.1'}
    d.start()
    t = d.wait_final(good)
    assert t['status'] == 'completed' and t['results'] == {'n': 8} and len(t['attempts']) == 1
    t = d.wait_final(bad)
    assert t['status'] == 'failed' and t['attempts'][0]['exit_status'] == 9
    until(lambda: d.records() == [] and d.attempts() == [], 'the records are forgotten')


def test_timeouts_hold_while_nobody_is_there(d):
    d.define('slow', 'echo start $JOBBERS_TASK_ID 1 $$ >@BOX@\nexec sleep 60', TimeoutSec='6s', MaxRetries=0)
    d.define('silent', 'echo start $JOBBERS_TASK_ID 1 $$ >@BOX@\nexec sleep 60', MaxHeartbeatIntervalSec='6s')
    d.reload()
    slow, pid1, _ = started(d, 'slow')
    silent, pid2, _ = started(d, 'silent')
    d.kill9()
    until(lambda: not alive(pid1) and not alive(pid2), 'the supervisors have ended them')
    d.start()
    assert d.wait_final(slow)['attempts'][0]['end_reason'] == 'timeout'
    assert d.wait_final(silent)['status'] == 'stalled'


# ── a supervisor that is killed ──

@pytest.mark.parametrize('policy, status, attempts', [('stop', 'stalled', 1), ('continue', 'stalled', 1), ('resubmit', 'completed', 2)])
@pytest.mark.parametrize('down', [False, True])
def test_killed_supervisor(d, policy, status, attempts, down):
    d.define('orphan', '''[ $JOBBERS_ATTEMPT = 1 ] || exit 0
setsid sh -c 'trap "" TERM HUP; echo child $$ >@BOX@; while :; do sleep 0.05; done' &
read -r x <@GATE@''', OnShutdown=policy)
    d.reload()
    task_id = d.submit('orphan')
    d.box.line()
    supervisor = d.supervisor_pid(task_id)
    family = d.task_processes()
    assert len(family) >= 2
    if down:
        d.kill9()
    os.kill(supervisor, signal.SIGKILL)
    if down:
        until(lambda: not alive(supervisor), 'it is gone')
        d.start()
    t = d.wait_final(task_id)
    assert t['status'] == status and len(t['attempts']) == attempts and t['retry_attempt'] == 0
    assert t['attempts'][0]['end_reason'] == 'host-lost' and t['attempts'][0]['error']
    assert t['attempts'][0]['exit_status'] is None
    assert not any(map(alive, family))


def test_cancelled_while_its_supervisor_is_killed(d):
    task_id, pid, supervisor = started(d)
    os.kill(supervisor, signal.SIGSTOP)
    d.cancel(task_id)
    os.kill(supervisor, signal.SIGKILL)
    t = d.wait_final(task_id)
    assert t['status'] == 'cancelled' and not alive(pid)


# ── the launcher ──

def test_killed_launcher_ends_the_daemon(d):
    task_id, pid, supervisor = started(d)
    os.kill(d.launcher_pid(), signal.SIGKILL)
    d.expected_status = None
    assert d.reap() != 0
    assert alive(pid)
    d.start()
    assert d.status(task_id)['status'] == 'started'
    d.gate.open()
    t = d.wait_final(task_id)
    assert t['status'] == 'completed' and len(t['attempts']) == 1


# ── commits and signals ──

def test_a_cancel_that_was_answered_is_final(d):
    """The daemon dies before the kill sequence is over; the next one goes on with it."""
    d.define('deaf', "trap '' TERM\necho start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@\nexit 0", KillGraceSec='30s')
    d.reload()
    task_id, pid, supervisor = started(d, 'deaf')
    d.cancel(task_id)
    d.kill9()
    d.start()
    t = d.status(task_id)
    assert t['status'] == 'started' and t['stop_reason'] == 'cancelled'
    d.gate.open()
    t = d.wait_final(task_id)
    assert t['status'] == 'cancelled' and t['attempts'][0]['exit_status'] == 0


def test_a_cancel_for_one_that_ended_meanwhile(d):
    """It ended by itself while it was being cancelled and nobody looked: cancelled, as was answered."""
    d.define('deaf', "trap '' TERM\necho start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@\nexit 0", KillGraceSec='30s')
    d.reload()
    task_id, pid, supervisor = started(d, 'deaf')
    d.cancel(task_id)
    d.kill9()
    d.gate.open()
    until(lambda: not alive(supervisor), 'it is over')
    d.start()
    assert d.wait_final(task_id)['status'] == 'cancelled'


def test_everything_answered_is_there_after_a_kill(d):
    d.post('/queues/default/pause')
    d.post('/queues', {'name': 'mail', 'max_concurrent': 3, 'rate_numerator': 5, 'rate_denominator': 2, 'rate_period': 'minute'}, status=201)
    d.post('/roles', {'name': 'post', 'queues': ['mail']}, status=201)
    ids = [d.submit('ok', priority=i % 3, parameters={'i': i}) for i in range(50)]
    dead = d.submit('ok')
    d.cancel(dead)
    before = [d.status(i) for i in ids]
    queue = d.get('/queues/mail/config')
    d.kill9()
    d.start()
    assert [d.status(i) for i in ids] == before
    assert d.status(dead)['status'] == 'cancelled'
    assert d.get('/queues/mail/config') == queue and d.get('/roles/post')['queues'] == ['mail']
    d.post('/queues/default/resume')
    for i in ids:
        assert d.wait_final(i)['status'] == 'completed'


def test_running_definition_is_kept_over_a_restart(d):
    """The policy that an attempt started with decides about it, even if its file is gone."""
    d.define('passing', 'echo start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@\nexit 1', DeadLetterPolicy='save')
    d.reload()
    task_id, pid, supervisor = started(d, 'passing')
    d.kill9()
    os.unlink(d.path('tasks.d', 'passing.task'))
    d.start()
    d.gate.open()
    assert d.wait_final(task_id)['status'] == 'failed'
    assert [t['id'] for t in d.get('/dead-letter-queue')['tasks']] == [task_id]


# ── damage ──

def test_a_broken_record_costs_one_task(d):
    bad, pid_bad, supervisor_bad = started(d)
    good, pid_good, supervisor_good = started(d)
    supervisors = [supervisor_good, supervisor_bad]
    d.kill9()
    d.gate.open(2)
    until(lambda: not any(map(alive, supervisors)), 'both are over')
    for where in (d.records_dir, d.saved_dir):
        with open(os.path.join(where, f'{bad}.1'), 'r+') as f:
            f.truncate(100)
    d.start()
    t = d.wait_final(bad)
    assert t['status'] == 'stalled' and t['attempts'][0]['end_reason'] == 'host-lost'      # never completed
    assert 'record' in t['last_error']
    assert d.wait_final(good)['status'] == 'completed'


def other_boot(d):
    """As if the host had been rebooted since."""
    with d.database() as db:
        columns = {(table, c[1]) for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                   for c in db.execute(f'PRAGMA table_info({table})').fetchall()}
        tables = [t for t, c in columns if c == 'boot_id']
        assert tables, columns
        for t in tables:
            db.execute(f"UPDATE {t} SET boot_id = '0123456789abcdef0123456789abcdef'")


def empty_run(d):
    """What is in memory, cgroups too, does not outlive a boot."""
    for name in d.attempts():
        shutil.rmtree(os.path.join(d.attempts_dir, name))
    for name in os.listdir(d.records_dir):
        os.unlink(os.path.join(d.records_dir, name))
    for path in reversed(d.cgroups()):
        for root, names, _ in os.walk(path, topdown=False):
            os.rmdir(root)


@pytest.mark.parametrize('policy, status', [('stop', 'stalled'), ('continue', 'stalled'), ('resubmit', 'completed')])
def test_after_a_reboot(d, policy, status):
    d.define('lost', '[ $JOBBERS_ATTEMPT = 1 ] || exit 0\necho start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@', OnShutdown=policy)
    d.reload()
    task_id, pid, supervisor = started(d, 'lost')
    d.kill9()
    for p in (supervisor, pid):
        os.kill(p, signal.SIGKILL)
    until(lambda: not alive(pid) and not alive(supervisor), 'the host is dark')
    empty_run(d)
    other_boot(d)
    d.start()
    t = d.wait_final(task_id)
    assert t['status'] == status and t['attempts'][0]['end_reason'] == 'host-lost' and t['retry_attempt'] == 0
    assert 'reboot' in t['attempts'][0]['error']


def test_a_record_that_reached_the_disk_outlives_the_boot(d):
    task_id, pid, supervisor = started(d)
    d.kill9()
    d.gate.open()
    until(lambda: not alive(supervisor), 'it is over')
    empty_run(d)
    other_boot(d)
    d.start()
    assert d.wait_final(task_id)['status'] == 'completed'
    until(lambda: d.records() == [], 'the record is forgotten')


@pytest.mark.parametrize('kept', [True, False], ids=['supervisor-waits', 'supervisor-leaves'])
def test_a_record_that_no_daemon_took_outlives_the_boot(d, kept):
    """The daemon was there when the attempt ended, so the record is in memory alone; it is killed before it can commit the outcome."""
    d.define('left', 'echo start $JOBBERS_TASK_ID 1 $$ >@BOX@\nread -r x <@GATE@\necho \'{"n": 8}\' >$JOBBERS_RESULT'
             + ('' if kept else f'\n[ -e {d.path("touch")} ] || : >$(dirname $JOBBERS_RESULT)/more'))
    d.reload()
    task_id, pid, supervisor = started(d, 'left')
    launcher = d.launcher_pid()
    d.process.send_signal(signal.SIGSTOP)
    d.gate.open()
    until(lambda: os.path.exists(os.path.join(d.records_dir, f'{task_id}.1')), 'the record is there')
    assert os.listdir(d.saved_dir) == []
    d.kill9()
    until(lambda: not alive(launcher) and not alive(supervisor), 'all of them are gone')
    assert f'{task_id}.1' in os.listdir(d.saved_dir)
    empty_run(d)
    other_boot(d)
    d.start()
    t = d.wait_final(task_id)
    assert t['status'] == 'completed' and t['results'] == {'n': 8} and len(t['attempts']) == 1
    until(lambda: d.records() == [], 'the record is forgotten')


def test_memory_is_lost_without_a_reboot(d):
    """A container that was started again, a session that ended: nobody knows whether it ran, so it counts as lost, and never as not begun."""
    task_id, pid, supervisor = started(d)
    d.kill9()
    for p in (supervisor, pid):
        os.kill(p, signal.SIGKILL)
    until(lambda: not alive(pid) and not alive(supervisor), 'all of it is gone')
    empty_run(d)
    d.start()
    t = d.wait_final(task_id)
    assert t['status'] == 'stalled' and [a['end_reason'] for a in t['attempts']] == ['host-lost']


def test_leftover_records_are_swept(d):
    """A daemon that was killed between the commit of an outcome and its forget leaves a record that nobody waits for."""
    t = d.run('ok')
    d.kill9()
    stray = os.path.join(d.records_dir, f'{t["id"]}.1')
    other = os.path.join(d.records_dir, '01ARZ3NDEKTSV4RRFFQ69G5FAV.3.started')
    for path in (stray, other):
        open(path, 'w').close()
    d.start()
    until(lambda: d.records() == [], 'the records are forgotten')
    assert d.status(t['id'])['status'] == 'completed'


# ── one at a time ──

def test_second_daemon_is_refused(d, make_daemon):
    other = make_daemon(state_dir=d.path('state'))
    other.expected_status = None
    assert other.start_refused() != 0
    assert re.search(r'\b%d\b' % d.process.pid, other.log()), other.log()
    assert d.run('ok')['status'] == 'completed'


def test_database_of_a_newer_version_is_refused(d):
    d.stop()
    path = d.path('state', 'jobbers.db')
    db = sqlite3.connect(path)
    version = db.execute('PRAGMA user_version').fetchone()[0]
    db.execute(f'PRAGMA user_version = {version + 1000}')
    db.commit()
    changed = [(t, c) for (t,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
               for c in [x[1] for x in db.execute(f'PRAGMA table_info({t})').fetchall()] if 'schema' in t or c == 'schema_version']
    for t, c in changed:
        if 'version' in c:
            db.execute(f'UPDATE {t} SET {c} = {c} + 1000')
    db.commit()
    db.close()
    for name in os.listdir(d.path('state')):
        if name.startswith('jobbers.db'):
            os.chown(d.path('state', name), os.stat(d.path('state')).st_uid, os.stat(d.path('state')).st_gid)
    assert d.start_refused() != 0
    assert 'newer' in d.log()


def test_damaged_database_is_refused(d):
    for i in range(200):
        d.submit('ok', parameters={'x': 'y' * 500, 'i': i})
    d.stop()
    path = d.path('state', 'jobbers.db')
    with open(path, 'r+b') as f:
        f.seek(0)
        f.write(b'this is not a database at all')
    assert d.start_refused() != 0
    assert 'jobbers.db' in d.log()
    d.expected_status = None


def test_interrupted_shutdown(d):
    """kill -9 in the middle of a stop: the reason was committed, so the outcome is by the policy, although it ended with 0."""
    d.define('deaf', '''trap 'echo term >@BOX@' TERM
echo start $JOBBERS_TASK_ID 1 $$ >@BOX@
while [ ! -e @DATA@/enough ]; do sleep 0.02; done
exit 0''', KillGraceSec='30s', KillMode='mixed')
    d.reload()
    task_id, pid, supervisor = started(d, 'deaf')
    d.terminate()
    assert d.box.line() == 'term'
    d.kill9()
    d.start()
    open(d.path('data', 'enough'), 'w').close()
    t = d.wait_final(task_id)
    assert t['status'] == 'stalled' and t['attempts'][0]['end_reason'] == 'shutdown'


def test_no_task_is_started_twice_over_many_kills(d):
    """Short, and in every run; tests/fault/campaign_kill.py does the same at length."""
    d.define('ledger', 'echo "$JOBBERS_TASK_ID" >>@DATA@/ledger')
    d.reload()
    ids = []
    for round_ in range(4):
        ids += [d.submit('ledger') for _ in range(25)]
        d.kill9()
        d.start()
    for i in ids:
        t = d.wait_final(i)
        assert t['status'] == 'completed' and len(t['attempts']) == 1
    assert sorted(open(d.path('data', 'ledger')).read().split()) == sorted(ids)
