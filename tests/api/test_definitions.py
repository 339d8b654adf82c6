"""Registering tasks by files (SPEC 3): reload, drop-ins, precedence, bad files, whose files count."""
import os

import pytest
from harness import ORDINARY_UID


def result_of(d, name, **kw):
    t = d.run(name, **kw)
    assert t['status'] == 'completed', t
    return t['results']


def says(d, name, word, **kw):
    d.define(name, f'echo \'{{"word": "{word}"}}\' >$JOBBERS_RESULT', **kw)


def test_reload_adds_changes_and_removes(daemon):
    a = daemon.ask('POST', '/submit-task', {'name': 'fresh', 'version': 1})
    assert a.status == 400 and 'fresh' in a.json['detail']
    says(daemon, 'fresh', 'one')
    assert daemon.ask('POST', '/submit-task', {'name': 'fresh', 'version': 1}).status == 400     # not before the reload
    daemon.reload()
    assert result_of(daemon, 'fresh') == {'word': 'one'}
    daemon.define('fresh', 'echo "{\\"word\\": \\"$WORD\\"}" >$JOBBERS_RESULT', Environment='WORD=two')
    daemon.reload()
    assert result_of(daemon, 'fresh') == {'word': 'two'}
    os.unlink(daemon.path('tasks.d', 'fresh.task'))
    daemon.reload()
    assert daemon.ask('POST', '/submit-task', {'name': 'fresh', 'version': 1}).status == 400


def test_reload_over_the_api(daemon):
    says(daemon, 'fresh', 'one')
    daemon.post('/reload')
    assert result_of(daemon, 'fresh') == {'word': 'one'}


def test_two_reloads_in_a_row_both_count(daemon):
    says(daemon, 'first', 'one')
    daemon.reload()
    says(daemon, 'second', 'two')
    daemon.reload()
    assert result_of(daemon, 'second') == {'word': 'two'}


def test_running_tasks_keep_their_definition(daemon):
    daemon.define('keeper', 'echo start >@BOX@; read -r x <@GATE@; exit 9', RetryOn='9', MaxRetries=1, RetryDelaySec='1h')
    daemon.reload()
    task_id = daemon.submit('keeper')
    daemon.box.line()
    daemon.define('keeper', 'exit 9', RetryOn='TEMPFAIL', MaxRetries=0)
    daemon.reload()
    daemon.gate.open()
    t = daemon.wait_status(task_id, 'scheduled')        # by the definition it started with
    assert t['retry_attempt'] == 1
    daemon.cancel(task_id)
    assert daemon.run('keeper')['status'] == 'failed'   # new ones by the new


def test_versions_live_side_by_side(daemon):
    for v in (1, 2, 7):
        daemon.define('multi', f'echo \'{{"v": {v}}}\' >$JOBBERS_RESULT', version=v)
    daemon.reload()
    assert [result_of(daemon, 'multi', version=v)['v'] for v in (1, 2, 7)] == [1, 2, 7]
    a = daemon.ask('POST', '/submit-task', {'name': 'multi', 'version': 3})
    assert a.status == 400 and all(v in a.json['detail'] for v in '127')
    a = daemon.ask('POST', '/submit-task', {'name': 'multi'})       # version 0
    assert a.status == 400 and '0' in a.json['detail']


def test_precedence_of_directories(make_daemon):
    d = make_daemon()
    for name in ('high', 'low'):
        os.mkdir(d.path(name), 0o755)
        os.chown(d.path(name), d.uid, d.uid)
    d.set(task_dir=[d.path('high'), d.path('low')])
    d.script('x', 'echo "{\\"w\\": \\"$W\\"}" >$JOBBERS_RESULT')
    d.file('x.task', '[Task]\nName=x\nVersion=1\nExecStart=x\nEnvironment=W=low\n', 'low')
    d.file('y.task', '[Task]\nName=y\nVersion=1\nExecStart=x\nEnvironment=W=only\n', 'low')
    d.file('x.task', '[Task]\nName=x\nVersion=1\nExecStart=x\nEnvironment=W=high\n', 'high')
    d.start()
    assert result_of(d, 'x') == {'w': 'high'} and result_of(d, 'y') == {'w': 'only'}
    # masked: as if it were not there
    os.unlink(d.path('high', 'x.task'))
    os.symlink('/dev/null', d.path('high', 'x.task'))
    d.reload()
    assert d.ask('POST', '/submit-task', {'name': 'x', 'version': 1}).status == 400
    os.unlink(d.path('high', 'x.task'))
    d.reload()
    assert result_of(d, 'x') == {'w': 'low'}


def test_drop_ins(make_daemon):
    d = make_daemon()
    for name in ('high', 'low'):
        os.mkdir(d.path(name), 0o755)
        os.chown(d.path(name), d.uid, d.uid)
    d.set(task_dir=[d.path('high'), d.path('low')])
    d.script('x', 'echo "{\\"a\\": \\"$A\\", \\"b\\": \\"$B\\", \\"c\\": \\"$C\\"}" >$JOBBERS_RESULT')
    d.file('x.task', '[Task]\nName=x\nVersion=1\nExecStart=x\nEnvironment=A=base B=base C=base\n', 'low')
    d.file('x.task.d/20-b.conf', '[Task]\nEnvironment=B=20 C=20\n', 'high')
    d.file('x.task.d/10-a.conf', '[Task]\nEnvironment=A=10 B=10\n', 'low')
    d.file('x.task.d/30-ignored.txt', '[Task]\nEnvironment=A=no\n', 'low')
    for name in ('high', 'low'):
        os.chown(d.path(name, 'x.task.d'), d.uid, d.uid)
    d.start()
    assert result_of(d, 'x') == {'a': '10', 'b': '20', 'c': '20'}           # in order of file name, from all directories
    d.file('x.task.d/15-reset.conf', '[Task]\nEnvironment=\nEnvironment=A=reset\n', 'high')
    d.reload()
    assert result_of(d, 'x') == {'a': 'reset', 'b': '20', 'c': '20'}        # an empty assignment resets what came before
    d.file('x.task.d/10-a.conf', '', 'high')                                # the same name higher up overrides: an empty one masks
    os.unlink(d.path('high', 'x.task.d', '15-reset.conf'))
    d.reload()
    assert result_of(d, 'x')['a'] == 'base'


@pytest.mark.parametrize('line, reason', [
    ('MaxRetries=many', 'MaxRetries'),
    ('TimeoutSec=-3', 'TimeoutSec'),
    ('OnShutdown=explode', 'OnShutdown'),
    ('ExecStart="unbalanced', 'ExecStart'),
    ('RetryOn=SIGNONSENSE', 'RetryOn'),
    ('KillSignal=99', 'KillSignal'),
])
def test_bad_file_keeps_the_last_good_version(daemon, line, reason):
    says(daemon, 'careful', 'good')
    daemon.reload()
    good = open(daemon.path('tasks.d', 'careful.task')).read()
    daemon.file('careful.task', good + line + '\n')
    number = (good + line).count('\n') + 1
    daemon.reload()
    assert result_of(daemon, 'careful') == {'word': 'good'}
    report = [x for x in daemon.log().splitlines() if f'careful.task:{number}:' in x]
    assert report and reason in report[-1], daemon.log()
    says(daemon, 'careful', 'better')
    daemon.reload()
    assert result_of(daemon, 'careful') == {'word': 'better'}


def test_bad_file_from_the_start(make_daemon):
    d = make_daemon()
    d.file('broken.task', '[Task]\nName=broken\nVersion=1\n')                # no ExecStart
    d.file('noise.task', '\xff\x00\x01')
    says(d, 'fine', 'yes')
    d.start()
    assert result_of(d, 'fine') == {'word': 'yes'}
    assert 'broken.task' in d.log() and 'noise.task' in d.log()


def test_two_files_of_one_name(daemon):
    says(daemon, 'twin', 'first')
    daemon.reload()
    daemon.script('twin2', 'echo \'{"word": "second"}\' >$JOBBERS_RESULT')
    daemon.file('zz-twin.task', '[Task]\nName=twin\nVersion=1\nExecStart=twin2\n')
    daemon.reload()
    assert result_of(daemon, 'twin')['word'] in ('first', 'second')
    assert 'twin' in daemon.log()


def test_waiting_for_a_broken_definition(daemon):
    """A name that a broken file may define is waited for; its tasks are not dropped."""
    says(daemon, 'patient', 'yes')
    daemon.reload()
    daemon.post('/queues/default/pause')
    task_id = daemon.submit('patient')
    daemon.stop()
    text = open(daemon.path('tasks.d', 'patient.task')).read()
    daemon.file('patient.task', text + 'MaxRetries=many\n')
    daemon.start()
    daemon.post('/queues/default/resume')
    assert daemon.run('ok')['status'] == 'completed'    # others go on, and its turn has come
    assert daemon.status(task_id)['status'] == 'submitted'
    daemon.file('patient.task', text)
    daemon.reload()
    assert daemon.wait_final(task_id)['status'] == 'completed'


def test_parameters_are_checked(daemon):
    daemon.define('typed', 'exit 0', extra='[Parameters]\nname = string, required\nn = integer\nx = number\non = boolean\no = object\nl = array\n')
    daemon.reload()
    good = {'name': 'a', 'n': 3, 'x': 1.5, 'on': True, 'o': {}, 'l': []}
    assert daemon.run('typed', parameters=good)['status'] == 'completed'
    assert daemon.run('typed', parameters={'name': '', 'x': 3})['status'] == 'completed'
    for bad, name in [({}, 'name'), ({'name': 3}, 'name'), ({'name': 'a', 'n': 1.5}, 'n'), ({'name': 'a', 'on': 'yes'}, 'on'),
                      ({'name': 'a', 'o': []}, 'o'), ({'name': 'a', 'l': {}}, 'l'), ({'name': 'a', 'other': 1}, 'other')]:
        a = daemon.ask('POST', '/submit-task', {'name': 'typed', 'version': 1, 'parameters': bad})
        assert a.status == 400 and name in a.json['detail'], (bad, a)


def test_listed_by_the_api(daemon):
    daemon.define('listed', 'exit 0', version=3, MaxRetries=5, TimeoutSec='2min', Description='what it does',
                  extra='[Parameters]\nn = integer, required\n')
    daemon.reload()
    everything = daemon.get('/definitions')
    assert 'listed' in str(everything)
    one = daemon.get('/definitions/listed/3')
    assert 'what it does' in str(one) and "'n'" in str(one)
    daemon.get('/definitions/listed/4', status=404)
    assert ['listed', 3] in daemon.get('/')['tasks']


# ── whose files count (system mode) ──

@pytest.fixture
def d(daemon):
    if daemon.mode != 'system':
        pytest.skip('ownership is checked in system mode')
    return daemon


def refused(d, name):
    a = d.ask('POST', '/submit-task', {'name': name, 'version': 1})
    if a.status == 400:
        return True
    t = d.wait_final(a.json['task']['id'])
    assert t['status'] == 'failed' and t['attempts'] == [] or t['attempts'][-1]['exit_status'] is None, t
    return True


def test_definition_that_others_can_write(d):
    says(d, 'loose', 'no')
    os.chmod(d.path('tasks.d', 'loose.task'), 0o666)
    d.reload()
    assert refused(d, 'loose') and 'loose.task' in d.log()
    os.chmod(d.path('tasks.d', 'loose.task'), 0o644)
    d.reload()
    assert result_of(d, 'loose') == {'word': 'no'}


def test_definition_of_somebody_else(d):
    says(d, 'foreign', 'no')
    os.chown(d.path('tasks.d', 'foreign.task'), ORDINARY_UID, ORDINARY_UID)
    d.reload()
    assert refused(d, 'foreign')


def test_executable_that_others_can_write(d):
    says(d, 'loose', 'no')
    os.chmod(d.path('libexec', 'loose'), 0o777)
    d.reload()
    assert refused(d, 'loose')


def test_executable_in_a_directory_of_somebody_else(d):
    os.mkdir(d.path('open'), 0o755)
    d.script('tool', 'exit 0')
    os.rename(d.path('libexec', 'tool'), d.path('open', 'tool'))
    d.file('tool.task', f'[Task]\nName=tool\nVersion=1\nExecStart={d.path("open", "tool")}\n')
    d.reload()
    assert d.run('tool')['status'] == 'completed'
    os.chmod(d.path('open'), 0o777)
    d.reload()
    assert refused(d, 'tool')


def test_drop_in_that_others_can_write(d):
    says(d, 'host', 'yes')
    d.file('host.task.d/10-x.conf', '[Task]\nMaxRetries=9\nUser=root\n', mode=0o666)
    d.reload()
    a = d.ask('POST', '/submit-task', {'name': 'host', 'version': 1})
    if a.status == 200:
        assert d.wait_final(a.json['task']['id'])['status'] in ('completed', 'failed')
    assert '10-x.conf' in d.log()


def test_executable_changed_after_the_reload(d):
    """Checked when it is started, by the one who has the rights."""
    says(d, 'swap', 'one')
    d.reload()
    assert result_of(d, 'swap') == {'word': 'one'}
    os.chmod(d.path('libexec', 'swap'), 0o777)
    t = d.run('swap')
    assert t['status'] == 'failed' and t['last_error'], t
