"""Every envelope of the reference, field by field, and the routes on queues, roles and dead letters (SPEC 6 and 7)."""
import re

import pytest
from harness import when

NO_ID = '01JBKR2E5F3G4H5J6K718M9N0P'
SUMMARY = {'id', 'name', 'parameters', 'status', 'retry_attempt', 'submitted_at'}
QUEUE = {'name', 'max_concurrent', 'rate_numerator', 'rate_denominator', 'rate_period'}
PLAIN = {'max_concurrent': 10, 'rate_numerator': None, 'rate_denominator': None, 'rate_period': None, 'paused': False, 'memory_max': None,
         'tasks_max': None, 'cpu_quota': None, 'cpu_weight': None}


def error(answer, status, word=''):
    assert answer.status == status, answer
    assert word in answer.json['detail'] and set(answer.json) <= {'detail', 'errors'}
    return answer.json


def summary(t):
    assert SUMMARY <= set(t), t
    assert re.fullmatch('[0-7][0-9A-HJKMNP-TV-Z]{25}', t['id'])
    when(t['submitted_at'])
    return t


# ── tasks ──

def test_root(daemon):
    a = daemon.get('/')
    assert isinstance(a['message'], str)
    assert ['ok', 1] in a['tasks'] and all(isinstance(n, str) and isinstance(v, int) for n, v in a['tasks'])


def test_submit_and_schedule(daemon):
    a = daemon.post('/submit-task', {'id': NO_ID, 'name': 'ok', 'version': 1, 'parameters': {'a': 1}})
    assert set(a) == {'message', 'task'} and a['message'] == 'Task submitted successfully'
    t = summary(a['task'])
    assert (t['id'], t['name'], t['parameters'], t['status'], t['retry_attempt'], t['queue']) == (NO_ID, 'ok', {'a': 1}, 'submitted', 0, 'default')
    assert 'last_error' not in t
    a = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'})
    assert set(a) == {'message', 'task', 'run_at'} and summary(a['task'])['status'] == 'scheduled'
    s = daemon.get(f'/task-status/{a["task"]["id"]}')
    assert SUMMARY <= set(s) and s['scheduled_at'] == '2099-01-01T00:00:00.000000Z'
    c = daemon.cancel(a['task']['id'])
    assert set(c) == {'message', 'task'} and c['message'] == 'Cancellation request sent' and summary(c['task'])['status'] == 'cancelled'
    error(daemon.ask('POST', f'/task/{a["task"]["id"]}/cancel'), 409, 'cancelled')


def test_lists(daemon):
    daemon.run('fail')
    for path in ('/task-list', '/active-tasks', '/scheduled-tasks', '/dead-letter-queue'):
        a = daemon.get(path)
        assert set(a) == {'tasks'}
        for t in a['tasks']:
            summary(t)
    t = daemon.get('/task-list')['tasks'][0]
    assert t['last_error'] and t['errors'] == [t['last_error']] and t['results'] == {}


# ── queues ──

def test_queue_life(daemon):
    assert daemon.get('/queues') == {'queues': ['default']}
    a = daemon.post('/queues', {'name': 'reports', 'max_concurrent': 5, 'rate_numerator': 100, 'rate_denominator': 1, 'rate_period': 'hour'}, status=201)
    assert set(a) == {'message', 'queue'}
    assert {k: a['queue'][k] for k in QUEUE} == {'name': 'reports', 'max_concurrent': 5, 'rate_numerator': 100, 'rate_denominator': 1,
                                                 'rate_period': 'hour'}
    error(daemon.ask('POST', '/queues', {'name': 'reports'}), 409, 'reports')
    assert daemon.get('/queues') == {'queues': ['default', 'reports']}
    assert daemon.get('/queues/reports/config') == {'queue': a['queue']}
    a = daemon.put('/queues/reports', {'name': 'reports', 'max_concurrent': None})
    assert a['queue'] == dict(PLAIN, name='reports', max_concurrent=None)
    assert set(a) == {'message', 'queue'}
    a = daemon.put('/queues/made-by-put', {})
    assert a['queue'] == dict(PLAIN, name='made-by-put')
    a = daemon.put('/queues/made-by-put', {'name': 'other', 'max_concurrent': 3})     # the path's name counts
    assert a['queue'] == dict(PLAIN, name='made-by-put', max_concurrent=3)
    error(daemon.ask('GET', '/queues/other/config'), 404, 'other')
    assert daemon.delete('/queues/reports').keys() == {'message'}
    error(daemon.ask('DELETE', '/queues/reports'), 404, 'reports')
    error(daemon.ask('GET', '/queues/reports/config'), 404, 'reports')
    error(daemon.ask('DELETE', '/queues/default'), 409, 'default')


def test_put_keeps_extensions_and_resets_the_rest(daemon):
    daemon.put('/queues/q', {'max_concurrent': 3, 'rate_numerator': 1, 'rate_period': 'day', 'paused': True, 'memory_max': '512M', 'tasks_max': 9,
                             'cpu_quota': '150%', 'cpu_weight': 50})
    q = daemon.get('/queues/q/config')['queue']
    assert q == {'name': 'q', 'max_concurrent': 3, 'rate_numerator': 1, 'rate_denominator': 1, 'rate_period': 'day', 'paused': True,
                 'memory_max': 512 << 20, 'tasks_max': 9, 'cpu_quota': '150%', 'cpu_weight': 50}
    q = daemon.put('/queues/q', {'name': 'q'})['queue']
    assert q == dict(PLAIN, name='q', paused=True, memory_max=512 << 20, tasks_max=9, cpu_quota='150%', cpu_weight=50)
    q = daemon.put('/queues/q', {'memory_max': None, 'tasks_max': None, 'cpu_quota': None, 'cpu_weight': None, 'paused': False, 'max_concurrent': 0})['queue']
    assert q == dict(PLAIN, name='q', max_concurrent=None)
    q = daemon.put('/queues/q', q)['queue']             # what is shown can be put back
    assert q == dict(PLAIN, name='q', max_concurrent=None)
    assert daemon.put('/queues/q', {'max_concurrent': None, 'rate_numerator': 0, 'rate_period': 'hour'})['queue'] == q       # 0: no limit
    daemon.restart()
    assert daemon.get('/queues/q/config')['queue'] == q


@pytest.mark.parametrize('body, field', [
    ({'max_concurrent': -1}, 'max_concurrent'), ({'max_concurrent': 'x'}, 'max_concurrent'), ({'rate_numerator': 5}, 'rate_period'),
    ({'rate_period': 'hour'}, 'rate_numerator'), ({'rate_denominator': 5}, 'rate_numerator'),
    ({'rate_numerator': 5, 'rate_period': 'week'}, 'rate_period'), ({'rate_numerator': -5, 'rate_period': 'day'}, 'rate_numerator'),
    ({'rate_numerator': 5, 'rate_denominator': 0, 'rate_period': 'day'}, 'rate_denominator'), ({'memory_max': 'lots'}, 'memory_max'),
    ({'memory_max': '0'}, 'memory_max'), ({'memory_max': '18446744073709551614'}, 'memory_max'),
    ({'cpu_weight': 0}, 'cpu_weight'), ({'cpu_quota': 'x'}, 'cpu_quota'), ({'tasks_max': 0}, 'tasks_max'), ({'paused': 'no'}, 'paused')])
def test_bad_queues(daemon, body, field):
    e = error(daemon.ask('PUT', '/queues/q', body), 422, field)
    assert e['errors'][0]['loc'] == ['body', field]
    error(daemon.ask('GET', '/queues/q/config'), 404)
    error(daemon.ask('PUT', '/queues/a%20b', {}), 422, 'queue_name')
    error(daemon.ask('POST', '/queues', {}), 422, 'name')


def test_pause_and_resume(daemon):
    assert daemon.post('/queues/default/pause')['queue']['paused'] is True
    t = daemon.submit('ok')
    serve(daemon, 'other')
    assert daemon.run('ok', queue='other')['status'] == 'completed'      # holds nobody else up
    assert daemon.status(t)['status'] == 'submitted'
    a = daemon.post('/queues/default/resume')
    assert a['queue']['paused'] is False and set(a) == {'message', 'queue'}
    assert daemon.wait_final(t)['status'] == 'completed'
    error(daemon.ask('POST', '/queues/nope/pause'), 404, 'nope')


def serve(daemon, queue):
    daemon.put('/queues/' + queue, {})
    daemon.put('/roles/default', ['default', queue])


def test_deleting_a_queue_with_tasks(daemon):
    serve(daemon, 'q')
    daemon.post('/queues/q/pause')
    t = daemon.submit('ok', queue='q')
    error(daemon.ask('DELETE', '/queues/q'), 409, 'q')
    daemon.delete('/queues/q', force='true')
    assert daemon.wait_final(t)['status'] == 'cancelled'
    assert daemon.get('/roles/default')['queues'] == ['default']


def commits(daemon):
    return int(re.search(r'^jobbers_commit_seconds_count (\d+)', daemon.ask('GET', '/metrics').text, re.M).group(1))


def test_deleting_a_crowded_queue(daemon):
    """Cancelled over many commits, between which others are served."""
    n = 4500
    serve(daemon, 'q')
    daemon.post('/queues/q/pause')
    body = {'tasks': [{'name': 'ok', 'version': 1, 'queue': 'q'}] * 500}
    for _ in range(n // 500):
        daemon.post('/submit-tasks', body)
    later = daemon.submit('ok', queue='q', run_at='2100-01-01T00:00:00Z')
    before = commits(daemon)
    daemon.delete('/queues/q', force='true')
    assert daemon.status(later)['status'] == 'cancelled'
    assert daemon.post('/tasks/cancel', {'queue': 'q', 'dry_run': True})['matched'] == 0
    assert daemon.ask('GET', '/queues/q/config').status == 404
    assert commits(daemon) > before + n // 1000


# ── roles ──

def test_role_life(daemon):
    assert daemon.get('/roles') == {'roles': ['default']}
    for q in ('zeta', 'alpha'):
        daemon.put('/queues/' + q, {})
    a = daemon.post('/roles', {'name': 'heavy', 'queues': ['zeta', 'alpha']}, status=201)
    assert set(a) == {'message', 'role', 'queues'} and (a['role'], a['queues']) == ('heavy', ['alpha', 'zeta'])
    error(daemon.ask('POST', '/roles', {'name': 'heavy', 'queues': []}), 409, 'heavy')
    error(daemon.ask('POST', '/roles', {'name': 'x', 'queues': ['nope']}), 400, 'nope')
    error(daemon.ask('POST', '/roles', {'name': 'x'}), 422, 'queues')
    assert daemon.get('/roles') == {'roles': ['default', 'heavy']}
    assert daemon.get('/roles/heavy') == {'role': 'heavy', 'queues': ['alpha', 'zeta']}
    assert daemon.get('/queues/heavy') == {'queues': ['alpha', 'zeta']}
    for body in (['zeta'], {'queues': ['zeta']}):
        a = daemon.put('/roles/heavy', body)
        assert set(a) == {'message', 'role', 'queues'} and a['queues'] == ['zeta']
        daemon.put('/roles/heavy', [])
    assert daemon.post('/queues/heavy', ['alpha', 'default', 'alpha']) == {'message': 'Queues set successfully'}
    assert daemon.get('/queues/heavy') == {'queues': ['alpha', 'default']}
    error(daemon.ask('POST', '/queues/heavy', ['nope']), 400, 'nope')
    error(daemon.ask('PUT', '/roles/heavy', ['nope']), 400, 'nope')
    error(daemon.ask('PUT', '/roles/heavy', [5]), 422, 'queues[0]')
    error(daemon.ask('GET', '/roles/nope'), 404, 'nope')
    error(daemon.ask('PUT', '/roles/nope', ['alpha']), 404, 'there is no role "nope"; create it with POST /roles')
    assert daemon.get('/roles') == {'roles': ['default', 'heavy']}
    error(daemon.ask('GET', '/queues/nope'), 404, 'nope')
    a = daemon.post('/roles/heavy/refresh')
    b = daemon.post('/roles/heavy/refresh')
    assert set(a) == {'role', 'refresh_tag'} and a['refresh_tag'] != b['refresh_tag'] and len(a['refresh_tag']) == 26
    error(daemon.ask('POST', '/roles/nope/refresh'), 404, 'nope')
    daemon.delete('/queues/alpha')
    assert daemon.get('/roles/heavy')['queues'] == ['default']
    assert daemon.delete('/roles/heavy').keys() == {'message'}
    error(daemon.ask('DELETE', '/roles/heavy'), 404, 'heavy')
    error(daemon.ask('DELETE', '/roles/default'), 409, 'default')


def test_role_that_does_not_exist_yet(make_daemon):
    d = make_daemon(role=['heavy:2'])
    d.define('ok', 'exit 0')
    d.start()
    warning = 'the role "heavy" (--role=) does not exist, so no task runs for it; check its name, or make it: jobbersctl set-role heavy'
    assert d.log().count(warning) == 1
    assert d.get('/status')['roles'] == [{'name': 'heavy', 'exists': False, 'slots': 2, 'running': 0}]
    assert d.get('/roles') == {'roles': ['default']}
    d.reload()
    assert d.log().count(warning) == 2
    d.post('/roles', {'name': 'heavy', 'queues': ['default']}, status=201)
    assert d.get('/status')['roles'][0]['exists'] is True
    assert d.run('ok')['status'] == 'completed'
    d.restart()
    assert d.log().count(warning) == 2


# ── dead letters ──

@pytest.fixture
def dead(daemon):
    """Three dead letters; ids in the order they failed."""
    daemon.define('dead', 'exit 75', MaxRetries=1, DeadLetterPolicy='save')
    daemon.define('dead', 'exit 1', version=2, DeadLetterPolicy='save')
    daemon.reload()
    daemon.ids = [daemon.run('dead')['id'], daemon.run('dead')['id'], daemon.run('dead', version=2)['id']]
    return daemon


def test_dead_letters_are_listed(dead):
    a = dead.get('/dead-letter-queue')
    assert set(a) == {'tasks'} and [summary(t)['id'] for t in a['tasks']] == dead.ids
    assert all(t['status'] == 'failed' and t['last_error'] for t in a['tasks'])
    assert [t['id'] for t in dead.get('/dead-letter-queue', task_name='dead', task_version=2, limit=25)['tasks']] == dead.ids[2:]
    assert dead.get('/dead-letter-queue', queue='nope')['tasks'] == []
    page = dead.get('/dead-letter-queue', limit=2)
    assert len(page['tasks']) == 2
    assert [t['id'] for t in dead.get('/dead-letter-queue', limit=2, cursor=page['next'])['tasks']] == dead.ids[2:]


def test_history_survives_resubmission(dead):
    a = dead.get(f'/dead-letter-queue/{dead.ids[0]}/history')
    assert set(a) == {'task_id', 'history'} and a['task_id'] == dead.ids[0]
    assert [(h['attempt'], h['retry_attempt']) for h in a['history']] == [(1, 0), (2, 1)]
    for h in a['history']:
        assert {'retry_attempt', 'timestamp', 'error', 'attempt', 'started_at', 'ended_at', 'exit_status', 'end_reason', 'resources'} <= set(h)
        assert h['error'] and h['exit_status'] == 75 and when(h['timestamp']) >= when(h['started_at'])
    r = dead.post('/dead-letter-queue/resubmit', {'task_ids': [dead.ids[0]], 'reset_retry_count': True})
    assert r['resubmitted'] == 1 and summary(r['tasks'][0])['retry_attempt'] == 0
    dead.wait_final(dead.ids[0])
    later = dead.get(f'/dead-letter-queue/{dead.ids[0]}/history')['history']
    assert later[:2] == a['history'] and len(later) == 4


def test_dead_letters_are_resubmitted(dead):
    error(dead.ask('POST', '/dead-letter-queue/resubmit', {}), 400)
    error(dead.ask('POST', '/dead-letter-queue/resubmit', {'limit': 5}), 400)
    error(dead.ask('POST', '/dead-letter-queue/resubmit', {'task_name': 'dead', 'limit': 0}), 422, 'limit')
    dead.post('/drain', {'enabled': True})
    alive = dead.submit('ok')
    r = dead.post('/dead-letter-queue/resubmit', {'task_ids': [dead.ids[1], NO_ID, 'bad', alive]})
    assert r['resubmitted'] == 1 and [t['id'] for t in r['tasks']] == [dead.ids[1]]
    assert [(x['task_id'], x['status']) for x in r['refused']] == [(NO_ID, 'not_found'), ('bad', 'error'), (alive, 'not_found')]
    r = dead.post('/dead-letter-queue/resubmit', {'task_name': 'dead', 'reset_retry_count': False, 'limit': 1})
    assert r['resubmitted'] == 1 and r['tasks'][0]['id'] == dead.ids[0] and r['tasks'][0]['retry_attempt'] == 1
    assert [t['id'] for t in dead.get('/dead-letter-queue')['tasks']] == dead.ids[2:]
    dead.post('/drain', {'enabled': False})
    dead.wait_final(dead.ids[0])
    dead.wait_final(dead.ids[1])


def test_dead_letters_are_removed(dead):
    r = dead.delete('/dead-letter-queue', {'task_ids': [dead.ids[0], dead.ids[0], NO_ID, 'bad', dead.ids[2].lower()]})
    assert r == {'removed': 2, 'task_ids': [dead.ids[0], dead.ids[2]]}
    assert [t['id'] for t in dead.get('/dead-letter-queue')['tasks']] == [dead.ids[1]]
    assert dead.status(dead.ids[0])['status'] == 'failed'       # the task itself stays
    error(dead.ask('DELETE', '/dead-letter-queue', {}), 422, 'task_ids')


def test_dlq_takes_as_many_ids_as_the_body_holds(dead):
    """In steps with commits in between, as /tasks/cancel does it."""
    many = [NO_ID.lower()] * 1200
    r = dead.post('/dead-letter-queue/resubmit', {'task_ids': [dead.ids[0]] + many + [dead.ids[1]]})
    assert r['resubmitted'] == 2 and [t['id'] for t in r['tasks']] == dead.ids[:2]
    assert r['refused'] == [{'task_id': NO_ID, 'status': 'not_found'}] * 1200       # canonical, as everywhere
    for task_id in dead.ids[:2]:
        dead.wait_final(task_id)
    assert dead.delete('/dead-letter-queue', {'task_ids': dead.ids[:1] + many + dead.ids[1:2]}) == {'removed': 2, 'task_ids': dead.ids[:2]}


# ── the daemon ──

def test_definitions(daemon):
    daemon.define('typed', 'exit 0', version=3, Description='A task', TimeoutSec='1min 30s', RetryDelaySec='500ms', MaxHeartbeatIntervalSec='5min',
                  BackoffStrategy='linear', OnShutdown='resubmit', RetryOn='3 TEMPFAIL SIGKILL oom RateLimited', KillSignal='SIGINT', KillMode='mixed',
                  KillGraceSec='1min 30s', extra='[Parameters]\nreport_id=integer, required\ntitle=string\n')
    daemon.reload()
    d = daemon.get('/definitions/typed/3')['definition']
    assert d['parameters'] == [{'name': 'report_id', 'type': 'integer', 'required': True}, {'name': 'title', 'type': 'string', 'required': False}]
    assert (d['timeout'], d['retry_delay'], d['max_heartbeat_interval'], d['backoff_strategy'], d['on_shutdown'], d['max_retries']) == (
        90, 0.5, 300, 'linear', 'resubmit', 3)
    assert d['max_concurrent'] is None and d['dead_letter_policy'] == 'none' and d['description'] == 'A task'
    assert d['retry_on'] == ['3', 'TEMPFAIL', 'SIGKILL', 'oom', 'RateLimited']
    assert (d['kill_signal'], d['kill_mode'], d['kill_grace']) == ('SIGINT', 'mixed', 90)
    assert d in daemon.get('/definitions')['definitions']
    ok = daemon.get('/definitions/ok/1')['definition']
    assert (ok['retry_on'], ok['kill_signal'], ok['kill_mode'], ok['kill_grace']) == (['TEMPFAIL'], 'SIGTERM', 'control-group', 10)
    error(daemon.ask('GET', '/definitions/typed/4'), 404, 'typed')
    error(daemon.ask('GET', '/definitions/typed/x'), 422, 'task_version')
    assert 'report_id' in error(daemon.ask('POST', '/submit-task', {'name': 'typed', 'version': 3}), 400)['detail']


def test_status_drain_and_reload(daemon):
    s = daemon.get('/status')
    assert s['pid'] == daemon.process.pid and s['draining'] is False and s['running'] == 0
    assert s['roles'] == [{'name': 'default', 'exists': True, 'slots': 16, 'running': 0}]
    assert [q['name'] for q in s['queues']] == ['default']
    assert daemon.post('/drain', {'enabled': True})['enabled'] is True
    t = daemon.submit('ok')
    assert daemon.get('/status')['queues'][0]['waiting'] == 1 and daemon.get('/status')['draining'] is True
    error(daemon.ask('POST', '/drain', {}), 422, 'enabled')
    daemon.post('/drain', {'enabled': False})
    daemon.wait_final(t)
    daemon.define('new', 'exit 0')
    daemon.file('broken.task', '[Task]\nName=broken\n')
    r = daemon.post('/reload')
    assert (r['problems'], len(r['messages'])) == (2, 2) and daemon.run('new')['status'] == 'completed'
    assert all(m.startswith(daemon.path('tasks.d', 'broken.task') + ': ') for m in r['messages'])
    for i in range(60):
        daemon.file(f'broken-{i}.task', '[Task]\nName=broken\n')
    r = daemon.post('/reload')
    assert r['problems'] == 122 and len(r['messages']) == 50


def test_health(daemon):
    h = daemon.get('/health')
    assert h['status'] in ('ok', 'starting') and h['version'] and isinstance(h['limits'], list)
