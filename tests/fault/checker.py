#!/usr/bin/python3
"""checker.py: holds what happened against what jobbers promises (docs/RELIABILITY.md).

    checker.py --history FILE --ledger FILE --database FILE --scan FILE [--definitions FILE]

Four witnesses, none of which is the daemon's word alone:
  history      what a client asked and what it was answered, one JSON object a line: {"op": …, "t0": …, "t1": …, …}, times in µs since boot
               submit  tasks: [{id, name}], answer
               cancel, resubmit  id, answer
               seen    id, status: what a read of the task said
               fault   what: somebody killed a process, cut the power, filled a disk
               calm    the last fault is over, the load has ended
               settled everything was final
               `answer` is acknowledged (2xx), refused (any other answer) or unknown (none came)
  ledger       what the tasks wrote themselves (ledger-task.c)
  database     read after the end
  scan         processes, cgroups, units, records and directories that are left; samples of descriptors and memory at rest

Every invariant is a function of these that yields sentences; `violations` collects them all. test_checker.py breaks each of them."""
import argparse
import collections
import json
import sqlite3
import sys

STATUSES = ('unsubmitted', 'submitted', 'scheduled', 'started', 'completed', 'failed', 'cancelled', 'stalled', 'dropped')
FINAL = STATUSES[4:]
END_REASONS = ('none', 'exit', 'signal', 'oom', 'timeout', 'stalled', 'cancelled', 'shutdown', 'host-lost')
ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
SETTLE_USEC = 60 * 1000000
# What ends an attempt without its own doing costs no retry.
FREE_ENDS = ('shutdown', 'host-lost')
CUT_SHORT = ('cancelled', 'shutdown', 'host-lost', 'timeout', 'stalled')
CANNOT_START = 203              # as systemd has it
LOSING_FAULTS = ('supervisor', 'power', 'error')


def ulid(blob):
    n = int.from_bytes(blob, 'big')
    return ''.join(ALPHABET[n >> (5 * i) & 31] for i in reversed(range(26)))


class Witnesses:
    """All that is known, indexed."""

    def __init__(self, history, ledger, store, scan, definitions):
        self.history, self.ledger, self.store, self.scan, self.definitions = history, ledger, store, scan, definitions
        self.asked = {}                                         # id → name
        self.submissions = collections.defaultdict(list)        # id → answers
        self.cancels = collections.defaultdict(list)
        self.resubmits = collections.defaultdict(list)
        self.seen = collections.defaultdict(list)
        self.faults = set()
        for h in history:
            if h['op'] == 'submit':
                for t in h['tasks']:
                    self.asked[t['id']] = t['name']
                    self.submissions[t['id']].append(h['answer'])
            elif h['op'] == 'cancel':
                self.cancels[h['id']].append(h)
            elif h['op'] == 'resubmit':
                self.resubmits[h['id']].append(h)
            elif h['op'] == 'seen':
                self.seen[h['id']].append(h)
            elif h['op'] == 'fault':
                self.faults.add(h['what'])
        self.tasks = {t['id']: t for t in store['tasks']}
        self.attempts = collections.defaultdict(dict)           # id → number → attempt
        for a in store['attempts']:
            self.attempts[a['id']][a['attempt']] = a
        self.starts = collections.defaultdict(list)             # id → [line]
        self.ends = collections.defaultdict(list)
        self.overlaps = []
        for line in ledger:
            {'S': self.starts[line['id']], 'E': self.ends[line['id']], 'O': self.overlaps}[line['what']].append(line)

    def may_have_been_resubmitted(self, task_id, after=0, before=float('inf')):
        """By an answer that was not a refusal, between two moments."""
        return any(r['answer'] != 'refused' and r['t1'] >= after and r['t0'] <= before for r in self.resubmits[task_id])

    def definition(self, task_id):
        return self.definitions.get(self.asked.get(task_id), {})

    def end_of(self, task_id, attempt):
        return next((e for e in self.ends[task_id] if e['attempt'] == attempt), None)


INVARIANTS = {}


def invariant(name):
    def register(fn):
        INVARIANTS[name] = fn
        return fn
    return register


@invariant('acknowledged tasks are there')
def acknowledged_is_there(w):
    for task_id, answers in w.submissions.items():
        if 'acknowledged' in answers and task_id not in w.tasks:
            yield f'{task_id} was acknowledged and is lost'


@invariant('no task that nobody asked for')
def nothing_invented(w):
    for task_id in w.tasks:
        if task_id not in w.asked:
            yield f'{task_id} was never asked for'
    for task_id in w.starts:
        if task_id not in w.asked:
            yield f'{task_id} ran and was never asked for'


@invariant('refused means nothing was changed')
def refused_is_absent(w):
    for task_id, answers in w.submissions.items():
        if task_id in w.tasks and set(answers) == {'refused'}:
            yield f'{task_id} was refused and is there'


@invariant('a list of submissions is all or nothing')
def lists_are_whole(w):
    for h in w.history:
        if h['op'] == 'submit' and len(h['tasks']) > 1:
            there = sum(t['id'] in w.tasks for t in h['tasks'])
            if there not in (0, len(h['tasks'])):
                yield f'{there} of the {len(h["tasks"])} tasks beside {h["tasks"][0]["id"]} are there'


@invariant('every start was committed before')
def starts_were_committed(w):
    for task_id, lines in w.starts.items():
        seen = set()
        for s in lines:
            if s['attempt'] in seen:
                yield f'{task_id}: attempt {s["attempt"]} started twice'
            seen.add(s['attempt'])
            a = w.attempts[task_id].get(s['attempt'])
            if a is None:
                yield f'{task_id}: attempt {s["attempt"]} ran and the store knows nothing of it'
            elif not w.scan.get('clock_was_set') and a['started_at'] > s['wall']:
                yield f'{task_id}: attempt {s["attempt"]} is said to have started after its first line in the ledger'
    for task_id, attempts in w.attempts.items():
        t = w.tasks.get(task_id)
        if t is None or sorted(attempts) != list(range(1, t['attempts'] + 1)):
            yield f'{task_id}: the store has the attempts {sorted(attempts)}, the task says {t and t["attempts"]}'


@invariant('attempts of a task never overlap')
def no_overlap(w):
    for o in w.overlaps:
        yield f'{o["id"]}: attempt {o["attempt"]} began while a process of another one lived'
    for task_id, lines in w.starts.items():
        for a, b in zip(lines, lines[1:]):
            before, end = w.attempts[task_id].get(a['attempt']), w.end_of(task_id, a['attempt'])
            if b['attempt'] <= a['attempt']:
                yield f'{task_id}: attempt {b["attempt"]} began after attempt {a["attempt"]}'
            elif (end is None and before and before['end_reason'] not in CUT_SHORT) or (end and end['boot'] > b['boot']):
                yield f'{task_id}: attempt {b["attempt"]} began before attempt {a["attempt"]} had ended'


@invariant('exit facts are what the task says')
def exit_facts(w):
    for task_id, attempts in w.attempts.items():
        started = {s['attempt'] for s in w.starts[task_id]}
        for n, a in attempts.items():
            end = w.end_of(task_id, n)
            said = end and end['detail']
            if 'error' in w.faults and n not in started and not end and a['exit_status'] == CANNOT_START and (a['error'] or '').startswith(('cannot ', 'cancelled')):
                continue                        # a call that was made to fail kept it from starting, and it says so
            if a['end_reason'] == 'exit' and a['exit_status'] >= 0 and said != f'exit={a["exit_status"]}':
                yield f'{task_id}: attempt {n} is recorded with exit status {a["exit_status"]}, the ledger has {said}'
            if a['end_reason'] == 'signal' and said != f'signal={a["term_signal"]}':
                yield f'{task_id}: attempt {n} is recorded with signal {a["term_signal"]}, the ledger has {said}'
            if a['end_reason'] in ('exit', 'signal') and a['exit_status'] >= 0 and n not in started:
                yield f'{task_id}: attempt {n} has ended and never started'


@invariant('no success without an end')
def success_has_an_end(w):
    for task_id, t in w.tasks.items():
        if t['status'] != 'completed':
            continue
        end = w.end_of(task_id, t['attempts'])
        if end is None or end['detail'] != 'exit=0':
            yield f'{task_id} is completed, the ledger has {end and end["detail"]} for its attempt {t["attempts"]}'
        elif (t['results'] or {}).get('token', f'{task_id}.{t["attempts"]}') != f'{task_id}.{t["attempts"]}':
            yield f'{task_id} has the result of another attempt: {t["results"]}'
        elif not (t['results'] or {}).get('token'):
            yield f'{task_id} is completed and its result is gone'


@invariant('nothing is lost without a fault that loses it')
def losses_have_a_cause(w):
    for task_id, attempts in w.attempts.items():
        for n, a in attempts.items():
            if a['end_reason'] == 'host-lost' and not w.faults & set(LOSING_FAULTS):
                yield f'{task_id}: attempt {n} is host-lost ({a["error"]}), and nobody touched its supervisor'
            if a['end_reason'] in ('timeout', 'stalled', 'oom') and not w.definition(task_id).get(a['end_reason']):
                yield f'{task_id}: attempt {n} ended by {a["end_reason"]}, which nothing asked for'


@invariant('a final state stays')
def final_stays(w):
    for task_id, looks in w.seen.items():
        looks = sorted(looks, key=lambda h: h['t0'])
        if task_id in w.tasks:
            looks.append({'t0': float('inf'), 't1': float('inf'), 'status': w.tasks[task_id]['status']})
        for a, b in zip(looks, looks[1:]):
            if a['status'] in FINAL and b['t0'] >= a['t1'] and b['status'] != a['status'] and \
               not w.may_have_been_resubmitted(task_id, a['t0'], b['t1']):
                yield f'{task_id} was {a["status"]} and then {b["status"]}'
        for s in w.starts[task_id]:
            before = [a for a in looks if a['status'] in FINAL and a['t1'] < s['boot']]
            if before and not w.may_have_been_resubmitted(task_id, before[0]['t0'], s['boot']):
                yield f'{task_id}: attempt {s["attempt"]} began after it was seen {before[0]["status"]}'


@invariant('a cancel that was answered is final')
def cancels_hold(w):
    for task_id, asked in w.cancels.items():
        for c in asked:
            if c['answer'] != 'acknowledged' or w.may_have_been_resubmitted(task_id, c['t0']) or task_id not in w.tasks:
                continue
            if w.tasks[task_id]['status'] != 'cancelled':
                yield f'{task_id}: its cancel was answered, it is {w.tasks[task_id]["status"]}'
            late = [s['attempt'] for s in w.starts[task_id] if s['boot'] > c['t1'] + c.get('slack', 1000000)]
            if late:
                yield f'{task_id}: attempt {late[0]} began after its cancel was answered'


@invariant('starts stay within the retry budget')
def retry_budget(w):
    for task_id, attempts in w.attempts.items():
        most = w.definition(task_id).get('retries', 3)
        order = [attempts[n] for n in sorted(attempts)]
        for a in order:
            if a['retry_attempt'] > most:
                yield f'{task_id}: attempt {a["attempt"]} is retry {a["retry_attempt"]} of {most}'
        for a, b in zip(order, order[1:]):
            if a['outcome'] in FINAL:
                if not w.may_have_been_resubmitted(task_id):
                    yield f'{task_id}: attempt {b["attempt"]} follows one that ended it ({a["outcome"]})'
                continue
            if a['outcome'] == 'started':
                yield f'{task_id}: attempt {b["attempt"]} follows one whose end was never recorded'
            wanted = a['retry_attempt'] + (a['end_reason'] not in FREE_ENDS)
            # cancelled while it waited for its retry, and resubmitted: it begins anew
            if b['retry_attempt'] != wanted and not (b['retry_attempt'] == 0 and w.may_have_been_resubmitted(task_id)):
                yield f'{task_id}: attempt {b["attempt"]} is retry {b["retry_attempt"]}, after "{a["end_reason"]}" it is {wanted}'
        if order and order[-1]['outcome'] == 'started' and w.tasks.get(task_id, {}).get('status') in FINAL:
            yield f'{task_id} is final and its last attempt has no end'


@invariant('after quiet nothing is left')
def nothing_left(w):
    for what in ('processes', 'cgroups', 'units', 'records', 'directories'):
        if w.scan.get(what):
            yield f'{what} left: {str(w.scan[what])[:300]}'


@invariant('the dead letter queue is the failed ones with save')
def dead_letters(w):
    for task_id, t in w.tasks.items():
        wanted = t['status'] == 'failed' and bool(w.definition(task_id).get('save'))
        if bool(t['dead_at']) != wanted:
            yield f'{task_id} is {t["status"]}, {"in" if t["dead_at"] else "not in"} the dead letter queue'


@invariant('all tasks are final soon after the faults stop')
def all_final(w):
    for task_id, t in w.tasks.items():
        if t['status'] not in FINAL and not w.definition(task_id).get('endless'):
            yield f'{task_id} is {t["status"]}'
    calm = [h['t1'] for h in w.history if h['op'] == 'calm']
    settled = [h['t0'] for h in w.history if h['op'] == 'settled']
    if not calm or not settled:
        yield 'the end of the faults, or of the tasks, was never noted'
    elif settled[-1] - calm[-1] > SETTLE_USEC:
        yield f'it took {(settled[-1] - calm[-1]) / 1e6:.0f} s until all tasks were final'


@invariant('times of a task never go back')
def times_ascend(w):
    for task_id, t in w.tasks.items():
        known = [(name, t[name]) for name in ('submitted_at', 'started_at', 'retried_at', 'completed_at') if t[name]]
        for (a, x), (b, y) in zip(known, known[1:]):
            # a resubmission clears the end, and a later start moves on
            if x > y:
                yield f'{task_id}: {b} is before {a}'
        if (t['status'] in FINAL) != bool(t['completed_at']):
            yield f'{task_id} is {t["status"]} and its completed_at is {t["completed_at"]}'


@invariant('the database is whole')
def database_whole(w):
    if w.store['integrity'] != 'ok':
        yield f'integrity check: {w.store["integrity"]}'
    for name, counted in w.store.get('dangling', {}).items():
        if counted:
            yield f'{counted} {name}'


@invariant('descriptors and memory stay flat')
def flat(w):
    for name, samples in w.scan.get('samples', {}).items():
        if len(samples) < 2:
            yield f'{name}: {len(samples)} samples are none'
            continue
        # the daemon keeps the channel of each supervisor that waits for another attempt
        spare = w.scan.get('slots', 0) if 'daemon' in name else 0
        limit = samples[0] + 2 + spare if 'descriptors' in name else samples[0] * 1.5 + 8192
        if samples[-1] > limit:
            yield f'{name}: {samples[0]} at first, {samples[-1]} at the end'


def violations(history, ledger, store, scan, definitions):
    """{name of the invariant: [sentence]}, only those that do not hold."""
    w = Witnesses(history, ledger, store, scan, definitions)
    found = {name: list(fn(w)) for name, fn in INVARIANTS.items()}
    return {name: sentences for name, sentences in found.items() if sentences}


# ── reading the witnesses ──

def read_history(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def read_ledger(path):
    """The lines of ledger-task. A line that is no line is an error: nobody else writes there."""
    lines = []
    with open(path) as f:
        for line in f:
            what, task_id, attempt, detail, boot, wall = line.split()
            lines.append({'what': what, 'id': task_id, 'attempt': int(attempt), 'detail': detail, 'boot': int(boot), 'wall': int(wall)})
    return lines


def read_store(path):
    """Tasks and attempts of a database that no daemon has open."""
    db = sqlite3.connect(f'file:{path}?mode=ro', uri=True)
    db.row_factory = sqlite3.Row
    try:
        integrity = ';'.join(r[0] for r in db.execute('PRAGMA integrity_check(5)'))
        tasks, names = [], {}
        for r in db.execute('SELECT seq, id, status, retry_attempt, attempts, stop_reason, submitted_at, started_at, retried_at, completed_at, '
                            'scheduled_at, dead_at, results, last_error FROM tasks'):
            t = dict(r)
            t['id'], t['status'] = ulid(t['id']), STATUSES[t['status']]
            t['results'] = json.loads(t['results']) if t['results'] else None
            names[t['seq']] = t['id']
            tasks.append(t)
        attempts = []
        for r in db.execute('SELECT task_seq, attempt, retry_attempt, started_at, ended_at, end_reason, exit_status, term_signal, outcome, error '
                            'FROM attempts'):
            a = dict(r)
            a['id'], a['outcome'], a['end_reason'] = names.get(a['task_seq'], '?'), STATUSES[a['outcome']], END_REASONS[a['end_reason']]
            attempts.append(a)
        dangling = {'attempts without a task': sum(a['id'] == '?' for a in attempts),
                    'large parameters without a task': db.execute('SELECT count(*) FROM large_parameters WHERE task_seq NOT IN '
                                                                  '(SELECT seq FROM tasks)').fetchone()[0]}
        return {'tasks': tasks, 'attempts': [a for a in attempts if a['id'] != '?'], 'integrity': integrity, 'dangling': dangling}
    except sqlite3.DatabaseError as e:
        return {'tasks': [], 'attempts': [], 'integrity': str(e)}
    finally:
        db.close()


def main():
    parser = argparse.ArgumentParser(description='Holds what happened against what jobbers promises.')
    for name in ('history', 'ledger', 'database', 'scan'):
        parser.add_argument('--' + name, required=True)
    parser.add_argument('--definitions')
    args = parser.parse_args()
    found = violations(read_history(args.history), read_ledger(args.ledger), read_store(args.database), json.load(open(args.scan)),
                       json.load(open(args.definitions)) if args.definitions else {})
    for name, sentences in found.items():
        for s in sentences[:20]:
            print(f'{name}: {s}')
        if len(sentences) > 20:
            print(f'{name}: and {len(sentences) - 20} more')
    print(f'checker: {len(INVARIANTS)} invariants, {sum(map(len, found.values()))} violations')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
