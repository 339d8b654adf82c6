"""The checker's own tests: a history in which all is well, and one violation after the other made up in it. A checker that could not fail
would make every campaign a test of nothing; an invariant without a breach here fails `test_every_invariant_is_broken_here`."""
import copy
import glob
import json
import os
import sqlite3
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import checker  # noqa: E402

A, B, C, D, E, F = ('01ARZ3NDEKTSV4RRFFQ69G5FA' + c for c in 'ABCDEF')
DEFINITIONS = {'plain': {}, 'buried': {'save': True, 'retries': 0}, 'timed': {'timeout': True}}


def task(task_id, status, attempts=1, **more):
    final = status in checker.FINAL
    return {'id': task_id, 'status': status, 'retry_attempt': 0, 'attempts': attempts, 'stop_reason': 0, 'submitted_at': 100,
            'started_at': 200 if attempts else 0, 'retried_at': 300 if attempts > 1 else 0, 'completed_at': 900 if final else 0, 'scheduled_at': 0,
            'dead_at': 0, 'results': {'token': f'{task_id}.{attempts}'} if status == 'completed' else None, 'last_error': None, **more}


def attempt(task_id, n, outcome, end_reason='exit', exit_status=0, retry=0, **more):
    return {'id': task_id, 'attempt': n, 'retry_attempt': retry, 'started_at': 200, 'ended_at': 800, 'end_reason': end_reason,
            'exit_status': exit_status, 'term_signal': 0, 'outcome': outcome, 'error': None, **more}


def start(task_id, n, at):
    return {'what': 'S', 'id': task_id, 'attempt': n, 'detail': '77', 'boot': at, 'wall': at}


def end(task_id, n, at, detail):
    return {'what': 'E', 'id': task_id, 'attempt': n, 'detail': detail, 'boot': at, 'wall': at}


def well():
    """A: completed. B: retried, completed. C: cancelled while it ran. D: failed, buried. E: never answered, completed. F: host-lost, again."""
    def submit(t0, answer, *tasks):
        return {'op': 'submit', 't0': t0, 't1': t0 + 10, 'answer': answer, 'tasks': [{'id': i, 'name': n} for i, n in tasks]}
    return {
        'history': [
            submit(100, 'unknown', (A, 'plain'), (B, 'plain')), submit(110, 'acknowledged', (A, 'plain'), (B, 'plain')),
            submit(120, 'acknowledged', (C, 'plain')), submit(130, 'acknowledged', (D, 'buried')), submit(140, 'unknown', (E, 'plain')),
            submit(150, 'acknowledged', (F, 'plain')),
            {'op': 'cancel', 't0': 250, 't1': 260, 'id': C, 'answer': 'acknowledged', 'slack': 0},
            {'op': 'fault', 't0': 270, 't1': 270, 'what': 'supervisor'},
            {'op': 'seen', 't0': 300, 't1': 310, 'id': A, 'status': 'started'}, {'op': 'seen', 't0': 950, 't1': 960, 'id': A, 'status': 'completed'},
            {'op': 'calm', 't0': 1000, 't1': 1000}, {'op': 'settled', 't0': 2000, 't1': 2000}],
        'ledger': [
            start(A, 1, 210), start(B, 1, 211), start(C, 1, 212), start(D, 1, 213), start(E, 1, 214), start(F, 1, 215), end(A, 1, 400, 'exit=0'),
            end(B, 1, 401, 'exit=75'), end(D, 1, 402, 'exit=1'), end(E, 1, 403, 'exit=0'), start(B, 2, 410), end(B, 2, 420, 'exit=0'),
            start(F, 2, 430), end(F, 2, 440, 'exit=0')],
        'store': {
            'integrity': 'ok', 'dangling': {'attempts without a task': 0},
            'tasks': [task(A, 'completed'), task(B, 'completed', 2, retry_attempt=1), task(C, 'cancelled'), task(D, 'failed', dead_at=900),
                      task(E, 'completed'), task(F, 'completed', 2)],
            'attempts': [attempt(A, 1, 'completed'), attempt(B, 1, 'submitted', exit_status=75), attempt(B, 2, 'completed', retry=1),
                         attempt(C, 1, 'cancelled', 'cancelled', -1), attempt(D, 1, 'failed', exit_status=1), attempt(E, 1, 'completed'),
                         attempt(F, 1, 'submitted', 'host-lost', -1), attempt(F, 2, 'completed')]},
        'scan': {'samples': {'daemon descriptors': [20, 21], 'daemon memory KiB': [9000, 9100]}},
        'definitions': copy.deepcopy(DEFINITIONS),
    }


def of(w, task_id):
    return next(t for t in w['store']['tasks'] if t['id'] == task_id)


def run_of(w, task_id, n=1):
    return next(a for a in w['store']['attempts'] if a['id'] == task_id and a['attempt'] == n)


def drop_task(w, task_id):
    w['store']['tasks'] = [t for t in w['store']['tasks'] if t['id'] != task_id]


def drop_lines(w, what, task_id, n=1):
    w['ledger'] = [x for x in w['ledger'] if (x['what'], x['id'], x['attempt']) != (what, task_id, n)]


def line_of(w, what, task_id, n=1):
    return next(x for x in w['ledger'] if (x['what'], x['id'], x['attempt']) == (what, task_id, n))


def op(w, name, task_id=None):
    return [h for h in w['history'] if h['op'] == name and (task_id is None or h.get('id') == task_id)]


def answers(w, task_id, answer):
    for h in op(w, 'submit'):
        if any(t['id'] == task_id for t in h['tasks']):
            h['answer'] = answer


G = '01ARZ3NDEKTSV4RRFFQ69G5FAG'

# (invariant that must speak, how the good history is broken)
BREACHES = {
    'lost': ('acknowledged tasks are there', lambda w: drop_task(w, C)),
    'invented': ('no task that nobody asked for', lambda w: w['store']['tasks'].append(task(G, 'cancelled', 0))),
    'ran unasked': ('no task that nobody asked for', lambda w: w['ledger'].append(start(G, 1, 500))),
    'refused and there': ('refused means nothing was changed', lambda w: answers(w, E, 'refused')),
    'half a list': ('a list of submissions is all or nothing', lambda w: (answers(w, A, 'unknown'), drop_task(w, A))),
    'start before commit': ('every start was committed before', lambda w: w['store']['attempts'].remove(run_of(w, B, 2))),
    'start before its time': ('every start was committed before', lambda w: run_of(w, A).update(started_at=211)),
    'same attempt twice': ('every start was committed before', lambda w: w['ledger'].append(start(A, 1, 450))),
    'attempts miscounted': ('every start was committed before', lambda w: of(w, A).update(attempts=2)),
    'overlap by lock': ('attempts of a task never overlap', lambda w: w['ledger'].append({**start(B, 2, 405), 'what': 'O'})),
    'overlap by time': ('attempts of a task never overlap', lambda w: line_of(w, 'E', B).update(boot=415)),
    'overlap without an end': ('attempts of a task never overlap', lambda w: drop_lines(w, 'E', B)),
    'exit status': ('exit facts are what the task says', lambda w: run_of(w, D).update(exit_status=2)),
    'could not start without a cause': ('exit facts are what the task says', lambda w: (drop_lines(w, 'S', D), drop_lines(w, 'E', D), run_of(w, D).update(
        exit_status=203, error='cannot create a process'))),
    'signal': ('exit facts are what the task says', lambda w: run_of(w, D).update(end_reason='signal', exit_status=-1, term_signal=9)),
    'end without start': ('exit facts are what the task says', lambda w: drop_lines(w, 'S', D)),
    'success without an end': ('no success without an end', lambda w: drop_lines(w, 'E', E)),
    'success of a failure': ('no success without an end', lambda w: line_of(w, 'E', E).update(detail='exit=1')),
    'result of another': ('no success without an end', lambda w: of(w, F).update(results={'token': f'{F}.1'})),
    'result gone': ('no success without an end', lambda w: of(w, F).update(results={})),
    'lost without a cause': ('nothing is lost without a fault that loses it', lambda w: w['history'].remove(op(w, 'fault')[0])),
    'timeout out of the blue': ('nothing is lost without a fault that loses it', lambda w: run_of(w, C).update(end_reason='timeout')),
    'final and back': ('a final state stays', lambda w: op(w, 'seen', A)[0].update(status='failed')),
    'final and other': ('a final state stays', lambda w: of(w, A).update(status='cancelled')),
    'start after the end': ('a final state stays', lambda w: (op(w, 'seen', A)[1].update(t0=150, t1=160), op(w, 'seen', A)[0].update(t0=50, t1=60))),
    'cancel forgotten': ('a cancel that was answered is final', lambda w: (of(w, C).update(status='stalled'), run_of(w, C).update(outcome='stalled'))),
    'start after cancel': ('a cancel that was answered is final', lambda w: line_of(w, 'S', C).update(boot=270)),
    'one retry too many': ('starts stay within the retry budget', lambda w: w['definitions']['plain'].update(retries=0)),
    'retry not counted': ('starts stay within the retry budget', lambda w: run_of(w, B, 2).update(retry_attempt=0)),
    'interruption counted': ('starts stay within the retry budget', lambda w: run_of(w, F, 2).update(retry_attempt=1)),
    'again after the end': ('starts stay within the retry budget', lambda w: run_of(w, B).update(outcome='failed')),
    'end never recorded': ('starts stay within the retry budget', lambda w: run_of(w, A).update(outcome='started')),
    'process': ('after quiet nothing is left', lambda w: w['scan'].update(processes=['77'])),
    'cgroup': ('after quiet nothing is left', lambda w: w['scan'].update(cgroups=['/sys/fs/cgroup/x'])),
    'record': ('after quiet nothing is left', lambda w: w['scan'].update(records=[f'{A}.1'])),
    'unit': ('after quiet nothing is left', lambda w: w['scan'].update(units=['jobbers-task-x.scope'])),
    'not buried': ('the dead letter queue is the failed ones with save', lambda w: of(w, D).update(dead_at=0)),
    'buried alive': ('the dead letter queue is the failed ones with save', lambda w: of(w, A).update(dead_at=900)),
    'not final': ('all tasks are final soon after the faults stop', lambda w: of(w, E).update(status='submitted', completed_at=0)),
    'late': ('all tasks are final soon after the faults stop', lambda w: op(w, 'settled')[0].update(t0=62000000)),
    'never settled': ('all tasks are final soon after the faults stop', lambda w: w['history'].remove(op(w, 'settled')[0])),
    'time goes back': ('times of a task never go back', lambda w: of(w, A).update(completed_at=150)),
    'final without a time': ('times of a task never go back', lambda w: of(w, A).update(completed_at=0)),
    'damage': ('the database is whole', lambda w: w['store'].update(integrity='row 7 missing from index tasks_id')),
    'dangling': ('the database is whole', lambda w: w['store']['dangling'].update({'attempts without a task': 1})),
    'descriptors leak': ('descriptors and memory stay flat', lambda w: w['scan']['samples'].update({'daemon descriptors': [20, 40]})),
    'memory leak': ('descriptors and memory stay flat', lambda w: w['scan']['samples'].update({'daemon memory KiB': [9000, 30000]})),
    'no samples': ('descriptors and memory stay flat', lambda w: w['scan']['samples'].update({'daemon memory KiB': [9000]})),
}


def test_a_good_history_is_good():
    assert checker.violations(**well()) == {}


@pytest.mark.parametrize('breach', BREACHES)
def test_breach_is_reported(breach):
    name, break_it = BREACHES[breach]
    w = well()
    break_it(w)
    found = checker.violations(**w)
    assert name in found, found
    assert all(isinstance(s, str) and s for s in found[name])


def test_every_invariant_is_broken_here():
    assert {name for name, _ in BREACHES.values()} == set(checker.INVARIANTS)


def test_a_resubmission_is_a_way_out():
    w = well()
    w['history'].append({'op': 'resubmit', 't0': 970, 't1': 980, 'id': A, 'answer': 'unknown'})
    w['ledger'] += [start(A, 2, 990), end(A, 2, 995, 'exit=1')]
    of(w, A).update(status='failed', attempts=2, retried_at=600, results=None)
    w['store']['attempts'].append(attempt(A, 2, 'failed', exit_status=1))
    assert checker.violations(**w) == {}
    op(w, 'resubmit')[0]['answer'] = 'refused'
    assert set(checker.violations(**w)) == {'a final state stays', 'starts stay within the retry budget'}


def test_a_resubmission_begins_the_retries_anew():
    w = well()
    run_of(w, B, 2).update(retry_attempt=0)
    of(w, B).update(retry_attempt=0)
    w['history'].append({'op': 'resubmit', 't0': 402, 't1': 405, 'id': B, 'answer': 'acknowledged'})
    assert checker.violations(**w) == {}


def test_as_a_program(tmp_path):
    """Reads what the campaigns write, from files; the database by the real schema."""
    root = os.path.join(HERE, '..', '..')
    db = sqlite3.connect(tmp_path / 'db')
    for name in sorted(os.listdir(os.path.join(root, 'sql', 'sqlite'))):
        db.executescript(open(os.path.join(root, 'sql', 'sqlite', name)).read())
    number = 0
    for c in A:
        number = number * 32 + checker.ALPHABET.index(c)
    columns = {c[1]: 0 for c in db.execute('PRAGMA table_info(tasks)')}
    columns.update(seq=1, id=number.to_bytes(16, 'big'), status=4, attempts=1, submitted_at=100, started_at=200, completed_at=900,
                   results=json.dumps({'token': f'{A}.1'}))
    db.execute(f'INSERT INTO tasks ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})', list(columns.values()))
    columns = {c[1]: 0 for c in db.execute('PRAGMA table_info(attempts)')}
    columns.update(task_seq=1, attempt=1, boot_id='x', scope='', started_at=200, ended_at=800, end_reason=1, outcome=4)
    db.execute(f'INSERT INTO attempts ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})', list(columns.values()))
    db.commit()
    db.close()
    w = well()
    history = [h for h in w['history'] if h.get('id') in (None, A)]
    for h in history:
        if h['op'] == 'submit':
            h['tasks'] = [t for t in h['tasks'] if t['id'] == A]
    (tmp_path / 'history').write_text(''.join(json.dumps(h) + '\n' for h in history))
    (tmp_path / 'ledger').write_text(f'S {A} 1 77 210 210\nE {A} 1 exit=0 400 400\n')
    (tmp_path / 'scan').write_text(json.dumps(w['scan']))

    def run():
        return subprocess.run([sys.executable, os.path.join(HERE, 'checker.py'), '--history', tmp_path / 'history', '--ledger', tmp_path / 'ledger',
                               '--database', tmp_path / 'db', '--scan', tmp_path / 'scan'], capture_output=True, text=True)
    done = run()
    assert (done.returncode, done.stdout.splitlines()[-1].split(', ')[-1]) == (0, '0 violations'), done.stdout + done.stderr
    (tmp_path / 'ledger').write_text(f'S {A} 1 77 210 210\n')
    done = run()
    assert done.returncode == 1 and 'no success without an end' in done.stdout, done.stdout


@pytest.mark.parametrize('patch', sorted(glob.glob(os.path.join(HERE, 'faults', '*.patch'))), ids=os.path.basename)
def test_a_seeded_fault_still_applies(patch):
    """Whether it is caught takes `seeded`, and a quarter of an hour."""
    root = os.path.dirname(os.path.dirname(HERE))
    done = subprocess.run(['git', 'apply', '--check', patch], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
