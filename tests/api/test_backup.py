"""POST /backup: a copy of the database while everything goes on; and what a daemon does with one that is put back."""
import os
import shutil
import sqlite3
import threading

from harness import until


def put_back(d, copy):
    """As docs/OPERATIONS.md says, with the daemon stopped."""
    for name in ('jobbers.db-wal', 'jobbers.db-shm'):
        if os.path.exists(d.path('state', name)):
            os.unlink(d.path('state', name))
    shutil.copy(copy, d.path('state', 'jobbers.db'))
    st = os.stat(d.path('state'))
    os.chown(d.path('state', 'jobbers.db'), st.st_uid, st.st_gid)


def test_a_backup_is_put_back(make_daemon):
    d = make_daemon(slots=2)
    d.define('ok', 'echo ran $JOBBERS_TASK_ID >@BOX@')
    d.start()
    done = d.submit('ok')
    assert d.box.line() == f'ran {done}'
    d.wait_final(done)
    d.post('/drain', {'enabled': True})
    waiting = d.submit('ok')
    made = d.post('/backup')
    assert made['file'] == d.path('state', 'backup.db') and made['bytes'] == os.stat(made['file']).st_size
    assert os.stat(made['file']).st_mode & 0o077 == 0
    lost = d.submit('ok')                       # after the backup: not in it
    d.post('/drain', {'enabled': False})
    assert {d.box.line(), d.box.line()} == {f'ran {waiting}', f'ran {lost}'}
    d.wait_final(lost)
    d.wait_final(waiting)
    d.stop()

    put_back(d, made['file'])
    d.start()
    status = d.get('/status')
    assert status['restored'] and status['draining'] and status['waiting'] == 1
    assert 'restored from a backup' in d.log()
    assert d.status(done)['status'] == 'completed' and d.status(waiting)['status'] == 'submitted'
    d.get(f'/task-status/{lost}', status=404)
    d.restart()                                 # it stays so
    assert d.get('/status')['restored'] and d.box.empty()
    d.post('/drain', {'enabled': False})
    assert d.box.line() == f'ran {waiting}'
    d.wait_final(waiting)
    d.restart()
    assert not d.get('/status')['restored']


def test_a_backup_of_a_busy_daemon(make_daemon):
    """It gets to its end while there is always something staged, and what was answered before it was asked for is in it."""
    d = make_daemon(slots=4)
    d.define('ok', 'exit 0')
    d.start()
    d.put('/queues/later', {})
    d.post('/submit-tasks', {'tasks': [{'name': 'ok', 'version': 1, 'queue': 'later', 'parameters': {'text': 'x' * 800}}] * 1000})
    over = threading.Event()

    def busy():
        while not over.is_set():
            d.post('/submit-tasks', {'tasks': [{'name': 'ok', 'version': 1}] * 10})

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(3):
            marker = d.submit('ok', parameters={'marker': True})
            made = d.post('/backup')
            copy = sqlite3.connect(f'file:{made["file"]}?mode=ro&immutable=1', uri=True)
            assert copy.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
            assert copy.execute('SELECT count(*) FROM tasks').fetchone()[0] > 1000
            [(parameters,)] = copy.execute("SELECT count(*) FROM tasks WHERE hex(id) = ?", (ulid_hex(marker),)).fetchall()
            assert parameters == 1
            copy.close()
            assert not os.path.exists(made['file'] + '.new')
    finally:
        over.set()
        for t in threads:
            t.join()
    until(lambda: d.get('/status')['running'] == 0 and not d.ask('GET', '/task-list', status='submitted', queue='default').json['tasks'], 'all done', 60)


def ulid_hex(text):
    n = 0
    for c in text:
        n = n * 32 + '0123456789ABCDEFGHJKMNPQRSTVWXYZ'.index(c)
    return '%032X' % n


def test_a_failure_costs_the_backup_alone(make_daemon):
    d = make_daemon()
    d.define('ok', 'exit 0')
    d.start()
    os.mkdir(d.path('state', 'backup.db'))      # a copy cannot be renamed over it
    assert d.ask('POST', '/backup').status == 503
    os.rmdir(d.path('state', 'backup.db'))
    assert d.run('ok')['status'] == 'completed'
    assert d.post('/backup')['bytes'] > 0
