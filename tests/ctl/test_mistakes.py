"""Typical mistakes, each with the one sentence that says what is wrong and what to do next."""
import os
import socket

import pytest

from ctl import Ctl
from harness import ORDINARY_UID

UNKNOWN = '01JBKR2E5F3G4H5J6K7M8N9P0Z'

# What was done; the status; what the sentence says; what it says to do.
MISTAKES = {
    'a task that is not there': (['run', 'generate'], 125, 'there is no task "generate"', 'See: jobbersctl tasks'),
    'a task whose name is mistyped': (['run', 'progess'], 125, 'there is no task "progess"', 'Did you mean "progress" version 1?'),
    'a version that is not there': (['run', 'ok', '--task-version=9'], 125, 'there is version 1', 'See: jobbersctl tasks'),
    'a parameter of another type': (['run', 'echo', 'whom=me', 'n=seven'], 125, '"n" must be of type integer', 'See: jobbersctl tasks echo'),
    'a required parameter that is missing': (['run', 'echo', 'n=7'], 125, '"whom" is missing', 'See: jobbersctl tasks echo'),
    'a parameter that it does not take': (['run', 'echo', 'whom=me', 'size=1'], 125, 'no parameter "size"', 'See: jobbersctl tasks echo'),
    'a word that is no KEY=VALUE': (['run', 'echo', 'me'], 125, '"me"', 'See: jobbersctl tasks echo'),
    'JSON that is none': (['run', 'echo', 'list:=[1,'], 125, '"list', 'See: jobbersctl tasks echo'),
    'a queue that is not there': (['submit', 'ok', '--queue=reports'], 4, 'there is no queue "reports"', 'Make it: jobbersctl set-queue reports'),
    'a time that is none': (['submit', 'ok', '--at=tomorrow'], 2, '"tomorrow"', '--at= takes a time such as'),
    'an id that is none': (['submit', 'ok', '--id=42'], 2, '"42"', '--id= takes a ULID'),
    'an id of nobody': (['status', UNKNOWN], 4, f'there is no task {UNKNOWN}', 'See: jobbersctl list --all'),
    'an id that is none, again': (['logs', 'generate_report'], 2, '"generate_report" is not a task id: those are 26 letters and digits', 'See: jobbersctl list --all'),
    'cancelling what is no id': (['cancel', 'zz'], 2, '"zz" is not a task id: those are 26 letters and digits', ''),
    'waiting for what is no id': (['wait', 'zz'], 2, '"zz" is not a task id', ''),
    'the status of what is no id': (['status', 'zz'], 2, '"zz" is not a task id', ''),
    'a dead letter that is no id': (['dlq', 'resubmit', 'zz'], 2, '"zz" is not a task id', ''),
    'the history of what is no id': (['dlq', 'history', 'zz'], 2, '"zz" is not a task id', ''),
    'a socket without a name': (['--socket=', 'list'], 2, '--socket= is empty', ''),
    'adding to a role that is not there': (['set-role', 'night', '+default'], 4, 'there is no role "night"', 'Make it: jobbersctl set-role night default'),
    'cancelling nobody': (['cancel', UNKNOWN], 4, 'there is no such task', 'See: jobbersctl list --all'),
    'cancelling everything by omission': (['cancel'], 2, 'say which tasks to cancel', 'ids, or --queue='),
    'cancelling by version alone': (['cancel', '--task-version=1'], 2, 'say which tasks to cancel', 'ids, or --queue='),
    'resubmitting by version alone': (['resubmit', '--task-version=1'], 2, 'say which tasks to resubmit', 'ids, or --queue='),
    'dead letters by version alone': (['dlq', 'resubmit', '--task-version=1'], 2, 'say which dead letters to resubmit', 'ids, or --queue='),
    'a queue that cannot go': (['delete-queue', 'default'], 1, 'the queue "default" cannot be deleted', ''),
    'a role with a queue that is not there': (['set-role', 'default', '+reports'], 4, 'there is no queue "reports"', 'Make it: jobbersctl set-queue reports'),
    'a limit that is none': (['set-queue', 'default', 'maxconcurrent=5'], 2, 'no "maxconcurrent"', 'Did you mean "max_concurrent"?'),
    'a rate that is none': (['set-queue', 'default', 'rate=fast'], 2, '"fast"', 'such as 100/hour'),
    'a limit below nothing': (['set-queue', 'default', 'max_concurrent=-1'], 2, 'max_concurrent', 'See: jobbersctl set-queue --help'),
    'a parameter without a value': (['submit', 'echo', 'whom'], 2, '"whom"', 'See: jobbersctl tasks echo'),
    'cancelling a state that is none': (['cancel', '--status=foo'], 2, 'status', ''),
    'resubmitting a state that is none': (['resubmit', '--status=bogus'], 2, 'status', ''),
    'removing what is no id': (['dlq', 'remove', 'zz'], 2, '"zz" is not a task id', ''),
    'a word too many': (['dlq', 'list', 'extra'], 2, 'too many words', 'jobbersctl dlq list'),
    'the history of two': (['dlq', 'history', 'a', 'b'], 2, 'too many words', 'jobbersctl dlq history ID'),
    'a new role with a queue that is not there': (['set-role', 'r', 'nope'], 4, 'there is no queue "nope"', 'Make it: jobbersctl set-queue nope'),
    'taking from a role': (['set-role', 'default', '-reports'], 2, 'there is no option -r', 'name those that it keeps: jobbersctl set-role ROLE QUEUE…'),
    'an option that is none': (['list', '--bogus'], 2, 'there is no option --bogus', 'See: jobbersctl list --help'),
    'an option that is mistyped': (['list', '--qeue=default'], 2, 'there is no option --qeue', 'Did you mean --queue?'),
    'a letter that is none': (['logs', '-x', UNKNOWN], 2, 'there is no option -x', 'See: jobbersctl logs --help'),
    'an option without its value': (['list', '--queue'], 2, '--queue needs a value', '--queue=QUEUE'),
    'a letter without its value': (['logs', UNKNOWN, '-n'], 2, '--lines needs a value', '--lines=N'),
    'a value that nobody asked for': (['list', '--all=yes'], 2, '--all takes no value', 'See: jobbersctl list --help'),
    'a state that is none': (['list', '--status=running'], 2, '"running"', '--status= takes submitted,'),
    'a verb that is none': (['stats'], 2, 'there is no verb "stats"', 'Did you mean "status"?'),
    'a dead letter that is none': (['dlq', 'remove', UNKNOWN], 4, 'not in the dead letter queue', 'See: jobbersctl dlq'),
    'drain what': (['drain', 'now'], 2, '"now"', 'drain takes on or off'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake(ctl, name):
    words, expected, wrong, remedy = MISTAKES[name]
    status, out, err = ctl.all(*words)
    assert status == expected, err
    assert wrong in err and remedy in err
    assert err.count('\n') == 1 and err.startswith('jobbersctl: '), 'one sentence'


def test_names_with_a_slash(ctl):
    for words in (['queues', 'a/b'], ['set-queue', 'a/b'], ['set-queue', ''], ['delete-queue', 'a/b'], ['pause', 'default', 'a/b'], ['resume', 'a/b'],
                  ['submit', 'ok', '--queue=a/b'], ['set-role', 'default', 'a,b']):
        assert 'is no name of a queue: those are letters, digits, "_", "." and "-", 64 at most.' in ctl.refused(*words, status=2), words
    for words in (['roles', 'a/b'], ['set-role', 'a/b', 'default'], ['delete-role', 'a/b']):
        assert '"a/b" is no name of a role: ' in ctl.refused(*words, status=2), words
    assert not ctl.json('queues', 'default')['paused'], 'nothing is done by halves'


def test_daemon_down(tmp_path):
    path = tmp_path / 'jobbers.sock'
    ctl = Ctl(JOBBERS_SOCKET=str(path))
    assert ctl.refused('list') == f'jobbersctl: jobbersd is not running: there is no {path}. Start it: systemctl start jobbersd'
    assert ctl.refused('list', '--user', f'--socket={path}').endswith('Start it: systemctl --user start jobbersd')
    assert ctl.refused('set-role', 'default').startswith('jobbersctl: jobbersd is not running')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))       # left behind, nobody listens
        assert ctl.refused('list') == f'jobbersctl: jobbersd is not running: nobody listens on {path}. Start it: systemctl start jobbersd'


def test_no_rights_on_the_socket(ctl):
    if os.geteuid() == 0:
        prefix, path = ['/usr/bin/setpriv', f'--reuid={ORDINARY_UID}', f'--regid={ORDINARY_UID}', '--clear-groups'], ctl.daemon.path('s')
    else:
        prefix, path = [], ctl.daemon.path('closed')
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
        os.chmod(path, 0)
    err = ctl.refused('list', f'--socket={path}', prefix=prefix)
    assert err == (f'jobbersctl: no right to use {path}: join the group "jobbers" (adduser USER jobbers, then log in again), or become root.')


def test_queue_outside_every_role(daemon):
    ctl = Ctl(daemon)
    ctl('set-queue', '-q', 'reports')
    status, out, err = ctl.all('submit', 'ok', '--queue=reports')
    assert status == 0 and err == ('jobbersctl: queue "reports" is not served by this daemon (role: default): the task waits until you run: '
                                   'jobbersctl set-role default +reports\n')
    p = ctl.popen('run', 'ok', '--queue=reports')
    assert 'jobbersctl set-role default +reports' in p.stderr.readline()
    ctl('set-role', '-q', 'default', '+reports')        # what it said to do
    assert p.wait(60) == 0
    ctl('wait', out.strip())


def test_role_that_does_not_exist(daemon):
    daemon.stop()
    daemon.set(role=['heavy', 'night'])
    daemon.start()
    ctl = Ctl(daemon)
    assert 'slots busy, role heavy (does not exist; make it: jobbersctl set-role heavy QUEUE…)' in ctl('status')
    hint = 'jobbersctl: queue "default" is not served by this daemon (roles: heavy, night): the task waits until you run: jobbersctl set-role '
    status, out, err = ctl.all('submit', 'ok')
    assert status == 0 and err == hint + 'heavy default\n'
    ctl('set-role', 'night')
    status, out, err = ctl.all('submit', 'ok')
    assert status == 0 and err == hint + 'night +default\n', 'one that is there is taken first'
    ctl('set-role', '-q', 'night', '+default')          # what it said to do
    ctl('wait', out.strip())


def test_definition_is_gone(daemon):
    ctl = Ctl(daemon)
    daemon.define('gone', 'exit 70', DeadLetterPolicy='save')
    daemon.reload()
    task = ctl.submit('gone')
    ctl('wait', task, status=1)
    os.unlink(daemon.path('tasks.d', 'gone.task'))
    ctl('reload', '-q')
    for verb in ('resubmit',), ('dlq', 'resubmit'):
        assert ctl.all(*verb, task)[2] == (f'jobbersctl: cannot resubmit {task}: unknown task "gone" version 1: no definition of that name is installed. '
                                           'See: jobbersctl tasks\n')
    daemon.file('gone.task', '[Task]\nName=gone\nVersion=one\n')
    ctl.all('reload', '-q')
    for verb in ('resubmit',), ('dlq', 'resubmit'):
        assert ctl.all(*verb, task)[2].endswith('the file that may define it has errors, see `jobbersctl verify`.\n')


def test_queue_is_paused(daemon):
    ctl = Ctl(daemon)
    ctl('pause', '-q', 'default')
    p = ctl.popen('submit', 'ok', '--wait')
    assert p.stderr.readline() == 'jobbersctl: queue "default" is paused: the task waits until you run: jobbersctl resume default\n'
    ctl('resume', '-q', 'default')
    assert p.wait(60) == 0


def test_queue_holds_tasks(daemon):
    ctl = Ctl(daemon)
    ctl('set-queue', '-q', 'reports')
    ctl.all('submit', 'ok', '--queue=reports')
    assert ctl.refused('delete-queue', 'reports').endswith('To cancel them: jobbersctl delete-queue --force reports')


def test_definition_is_not_executable(daemon):
    ctl = Ctl(daemon)
    daemon.define('broken', 'exit 0')
    os.chmod(daemon.path('libexec', 'broken'), 0o644)
    out = ctl.all('reload')
    assert out[2].startswith(daemon.path('tasks.d', 'broken.task') + ':')
    assert out[2].endswith('\njobbersctl: 1 error in task files; a file\'s last good version, if there is one, stays in force. See: jobbersctl verify\n')
    err = ctl.refused('run', 'broken', status=203)
    assert f'cannot run {daemon.path("libexec", "broken")}: Permission denied. See: jobbersctl verify' in err
    # and where the file cannot be used at all
    daemon.file('worse.task', '[Task]\nName=worse\nVersion=one\nExecStart=/bin/true\n')
    ctl.all('reload')
    err = ctl.refused('run', 'worse', status=125)
    assert err == 'jobbersctl: unknown task "worse": the file that may define it has errors, see `jobbersctl verify`.'
    status, out, err = ctl.all('verify', daemon.path('tasks.d', 'worse.task'))
    assert status == 1 and 'worse.task:3:' in err


def test_tokens(ctl, tmp_path):
    host = f'--host=127.0.0.1:{ctl.daemon.port}'
    missing = tmp_path / 'none'
    assert ctl.refused('list', host, f'--token-file={missing}') == (
        f'jobbersctl: cannot read the token in {missing}: No such file or directory. Name one that you can read with --token-file=.')
    if not os.path.exists('/etc/jobbers/token'):
        place = '/etc/jobbers' if os.geteuid() == 0 else '~/.local/state/jobbers'
        assert ctl.refused('list', host) == (f'jobbersctl: a token is required: Authorization: Bearer TOKEN (usually the one in {place}/token). '
                                             'Name the file with the token: --token-file=FILE')
    wrong = tmp_path / 'token'
    wrong.write_text('0' * 64 + '\n')
    assert 'the token is wrong (jobbersd reads its token file at start; restart it after changing the file)' in ctl.refused('list', host, f'--token-file={wrong}')


def test_hosts(ctl):
    token = f'--token-file={ctl.daemon.path("token")}'
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
        assert ctl.refused('list', f'--host=127.0.0.1:{port}', token).startswith(f'jobbersctl: nobody answers at http://127.0.0.1:{port}: Connection refused.')
    assert '--host= takes HOST, HOST:PORT or a URL' in ctl.refused('list', '--host=a b', token)
    assert 'check --host=' in ctl.refused('list', '--host=no-such-host.invalid', token)


def test_not_jobbersd(tmp_path):
    """Somebody else answers on the socket."""
    path = str(tmp_path / 'other')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        for answer, sentence in ((b'hello\r\n', 'broke off: the answer is not valid'), (b'', 'broke off: it closed the connection'),
                                 (b'HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno', 'is not jobbersd, or is broken (HTTP status 500)'),
                                 (b'HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{', 'broke off: it closed the connection'),
                                 (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 'broke off: the answer is not valid')):
            p = Ctl(JOBBERS_SOCKET=path).popen('status')
            for _ in range(2 if 'closed' in sentence else 1):          # might be a restart: asked once more
                c, _ = s.accept()
                c.recv(65536)
                c.sendall(answer)
                c.close()
            out, err = p.communicate(timeout=60)
            assert p.returncode == 1 and out == '' and sentence in err and err.count('\n') == 1, answer
