"""Records in the database that make no sense, though SQLite finds nothing wrong: each costs its own task an error, and nobody else anything."""
import os
import sqlite3

import pytest


def damage(d, *statements):
    """The daemon is down; what no daemon would write is in its database when it starts again."""
    if d.process and d.process.poll() is None:
        d.stop()
    with d.database() as db:
        for sql, *values in statements:
            assert db.execute(sql, values).rowcount > 0, sql
    d.start()


NONSENSE = 'UPDATE tasks SET stop_reason = 99 WHERE seq = (SELECT min(seq) + %d FROM tasks)'
NO_PARAMETERS = 'DELETE FROM large_parameters'
LARGE = {'x': 'y' * 3000}


@pytest.fixture
def d(daemon):
    daemon.define('bad', 'exit 1', DeadLetterPolicy='save')
    daemon.reload()
    daemon.put('/queues/b', {'paused': True})
    return daemon


def still_there(d):
    assert d.process.poll() is None
    assert d.run('ok')['status'] == 'completed'


def pages(d, path, **query):
    got = []
    while True:
        page = d.get(path, **query)
        assert len(page['tasks']) <= query['limit']
        got += [t['id'] for t in page['tasks']]
        if 'next' not in page:
            return got
        query['cursor'] = page['next']


@pytest.mark.parametrize('order', ['submitted_at', '-submitted_at', 'task_id'])
def test_lists_go_on(d, order):
    ids = [d.submit('ok', queue='b', parameters=LARGE if i in (3, 4, 6) else {}) for i in range(9)]
    damage(d, (NO_PARAMETERS,))
    wanted = [t for i, t in enumerate(ids) if i not in (3, 4, 6)]
    if order == '-submitted_at':
        wanted.reverse()
    for limit in range(1, 8):
        for query in ({'queue': 'b'}, {}):
            assert pages(d, '/task-list', limit=limit, order_by=order, **query) == wanted, (limit, query)


def test_queue_whose_first_task_cannot_be_read(d):
    """A queue is not empty because what is in it cannot be read."""
    ids = [d.submit('ok', queue='b') for i in range(3)]
    damage(d, (NONSENSE % 0,))
    assert 'unfinished' in d.delete('/queues/b', status=409)['detail']
    answer = d.delete('/queues/b', status=409, force='true')['detail']
    assert 'holds 1 unfinished' in answer and 'damaged' in answer
    assert [d.status(t)['status'] for t in ids[1:]] == ['cancelled'] * 2
    assert d.delete('/queues/b', status=409, force='true')['detail'] == answer
    assert 'b' in d.get('/queues')['queues']
    still_there(d)
    damage(d, ('UPDATE tasks SET stop_reason = 0',))        # a person mends it
    d.delete('/queues/b', force='true')
    assert d.status(ids[0])['status'] == 'cancelled'


def test_without_its_parameters_it_can_be_cancelled(d):
    ids = [d.submit('ok', queue='b', parameters=LARGE) for i in range(3)]
    damage(d, (NO_PARAMETERS + ' WHERE task_seq = (SELECT min(task_seq) FROM large_parameters)',))
    assert d.ask('GET', f'/task-status/{ids[0]}').status == 503
    d.delete('/queues/b', force='true')
    assert 'b' not in d.get('/queues')['queues']
    assert [d.status(t)['status'] for t in ids[1:]] == ['cancelled'] * 2
    db = sqlite3.connect(f'file:{d.post("/backup")["file"]}?mode=ro&immutable=1', uri=True)
    assert db.execute('SELECT DISTINCT status FROM tasks').fetchall() == [(6,)]
    db.close()
    still_there(d)


def test_bulk_cancel(d):
    ids = [d.submit('ok', queue='b') for i in range(4)]
    damage(d, (NONSENSE % 1,))
    assert d.post('/tasks/cancel', {'task_ids': ids, 'dry_run': True})['matched'] == 3
    results = d.post('/tasks/cancel', {'task_ids': ids[:2]})['results']
    assert [r['status'] for r in results] == ['cancellation_requested', 'error'] and 'damaged' in results[1]['detail']
    # by filter: the newest one decides where the call ends, and must not be the one that cannot be read
    damage(d, (NONSENSE % 3,))
    answer = d.post('/tasks/cancel', {'queue': 'b'})
    assert [(r['task_id'], r['status']) for r in answer['results']] == [(ids[2], 'cancellation_requested')]
    assert answer['matched'] == 3       # as the counts have it, which know of those that cannot be read
    still_there(d)


def test_bulk_resubmit(d):
    ids = [d.submit('ok', queue='b', parameters=LARGE) for i in range(3)]
    d.post('/tasks/cancel', {'task_ids': ids})
    damage(d, (NO_PARAMETERS + ' WHERE task_seq = (SELECT min(task_seq) + 1 FROM large_parameters)',))
    answer = d.post('/tasks/resubmit', {'queue': 'b'})
    assert [(r['task_id'], r['status']) for r in answer['results']] == list(zip(ids, ['resubmitted', 'error', 'resubmitted']))
    assert answer['matched'] == 3 and 'damaged' in answer['results'][1]['detail']
    still_there(d)


def test_dead_letter_queue(d):
    ids = [d.run('bad')['id'] for i in range(4)]
    damage(d, (NONSENSE % 0,), ('UPDATE tasks SET results = NULL, parameters = NULL WHERE seq = (SELECT min(seq) + 1 FROM tasks)',))
    answer = d.post('/dead-letter-queue/resubmit', {'task_ids': ids[:3]})
    assert answer['resubmitted'] == 1 and [t['id'] for t in answer['tasks']] == ids[2:3]
    assert [(r['task_id'], r['status']) for r in answer['refused']] == [(ids[0], 'error'), (ids[1], 'error')]
    assert all('damaged' in r['detail'] for r in answer['refused'])
    answer = d.delete('/dead-letter-queue', {'task_ids': [ids[0], ids[3]]})
    assert answer == {'removed': 1, 'task_ids': ids[3:]}
    still_there(d)


def test_attempts(d):
    """A task is shown with those of its attempts that can be read."""
    task_id = d.run('bad')['id']
    d.post(f'/task/{task_id}/resubmit', {})
    d.wait_final(task_id)
    damage(d, ('UPDATE attempts SET outcome = 99 WHERE attempt = 1',))
    assert [a['attempt'] for a in d.status(task_id)['attempts']] == [2]
    assert [a['attempt'] for t in d.get('/task-list')['tasks'] for a in t['attempts']] == [2]
    assert [a['attempt'] for a in d.get(f'/dead-letter-queue/{task_id}/history')['history']] == [2]


def test_waits_for_a_definition_that_is_gone(d):
    """It cannot be dropped, and the daemon must neither end over it nor speak of it all the time."""
    d.define('gone', 'exit 0')
    d.reload()
    d.post('/drain', {'enabled': True})
    first, second = d.submit('gone'), d.submit('gone')
    os.unlink(d.path('tasks.d', 'gone.task'))
    before = len(d.log())
    damage(d, (NONSENSE % 0,))
    assert d.wait_final(second)['status'] == 'dropped'
    for _ in range(3):
        still_there(d)
    assert d.log()[before:].count('cannot be read from the database') == 1
    for path in (f'/task-status/{first}', f'/task/{first}/logs', f'/dead-letter-queue/{first}/history'):
        assert 'damaged' in d.get(path, status=503)['detail']
