"""What all verbs have in common: JSON, legends, quiet, colour, help, exit statuses, suggestions, TCP."""
import json
import os
import pty
import re

import pytest

from ctl import JOBBERSCTL, Ctl
from harness import TREE

LISTS = [['list', '--all'], ['queues'], ['roles'], ['tasks'], ['dlq']]


def in_terminal(ctl, *words, **environment):
    """What it writes when standard output is a terminal of 80 columns."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe('sh', ['sh', '-c', f'stty cols 80 rows 24; exec {JOBBERSCTL} "$@"', 'sh', *words],
                   {**ctl.environment, 'TERM': 'xterm', 'PAGER': 'cat', **environment})
    out = b''
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.waitpid(pid, 0)
    os.close(fd)
    return out.decode()


@pytest.fixture(scope='module')
def busy(shared):
    ctl = Ctl(shared)
    ctl('run', 'ok')
    ctl.all('run', 'dead')
    return ctl


def test_json(busy):
    for words in LISTS:
        pretty, short = busy(*words, '--json=pretty'), busy(*words, '--json=short')
        assert json.loads(pretty) == json.loads(short) and isinstance(json.loads(short), list)
        assert short.count('\n') == 1 and pretty.count('\n') > 1
        off = busy(*words, '--json=off')
        with pytest.raises(ValueError):
            json.loads(off)
    assert "--json= takes pretty, short or off" in busy.refused('list', '--json=xml', status=2)


def test_no_legend(busy):
    for words in LISTS:
        full, bare = [[line.split() for line in busy(*w).splitlines()] for w in (words, [*words, '--no-legend'])]
        assert full[1:-2] == bare and len(bare) > 0, words
        assert ''.join(full[0]).isupper() and full[-2] == [] and full[-1][0] == str(len(bare)), 'a heading, a blank line and a sum'


def test_quiet(busy):
    for words in (['pause', 'default'], ['resume', 'default'], ['drain'], ['drain', 'off'], ['reload'], ['set-queue', 'default', 'paused=no'],
                  ['set-role', 'default', 'default']):
        assert busy(*words, '--quiet') == '', words


def test_no_colour_without_a_terminal(busy):
    for words in LISTS + [['status']]:
        assert '\033' not in busy(*words)


def test_colour_in_a_terminal(busy):
    assert '\033[1m' in in_terminal(busy, 'list', '--all') and '\033[31mfailed' in in_terminal(busy, 'list', '--all')
    assert '\033' not in in_terminal(busy, 'list', '--all', NO_COLOR='1')
    assert '\033' not in in_terminal(busy, 'list', '--all', TERM='dumb')
    assert '\033' not in in_terminal(busy, 'tasks', '--json=pretty')


def test_width_of_a_terminal(busy):
    busy.daemon.define('a-task-with-a-name-that-takes-a-lot-of-room-in-a-narrow-terminal', 'echo ' + 'x' * 100 + ' >&2; exit 70')
    busy.daemon.reload()
    busy.all('run', 'a-task-with-a-name-that-takes-a-lot-of-room-in-a-narrow-terminal')
    out = in_terminal(busy, 'list', '--all', NO_COLOR='1')
    assert all(len(line) <= 80 for line in out.splitlines()) and '…' in out
    out = in_terminal(busy, 'tasks', NO_COLOR='1')
    assert all(len(line) <= 80 for line in out.splitlines()) and '…' in out
    assert '…' not in busy('list', '--all'), 'nothing is cut where there is no terminal'


def test_status_is_folded(busy):
    """Sentences and the task's own words keep to the width of a terminal; JSON is cut there."""
    busy.daemon.define('folded-task-of-a-name-that-takes-much-room', 'printf \'{"error": {"type": "x", "message": "%s"}}\' "$(seq -s " " 1 80)" >"$JOBBERS_RESULT"; exit 1',
                       Description='Takes many words to say what it does, which is little')
    busy.daemon.reload()
    task = busy.submit('folded-task-of-a-name-that-takes-much-room', f'rows:={json.dumps(list(range(700)))}')
    busy('wait', task, status=1)
    lines = in_terminal(busy, 'status', task, NO_COLOR='1').splitlines()
    assert not [line for line in lines if len(line) > 80 and not line.startswith('-- ')]
    first = next(i for i, line in enumerate(lines) if line.startswith('Parameters: {"rows": [0, 1,'))
    assert all(re.match(r'            \d', line) for line in lines[first + 1:first + 5]) and lines[first + 4].endswith('…') and lines[first + 5].startswith('     Error: ')
    error = next(i for i, line in enumerate(lines) if line.startswith('     Error: '))
    assert ' '.join(line.strip() for line in lines[error:error + 4]).endswith(' 78 79 80') and lines[error + 1].startswith('            ')
    assert lines[1].startswith('            ') and not lines[1].startswith(' ' * 13), 'the description'
    assert ', 699]}\n' in busy('status', task) and '…' not in busy('status', task), 'where there is no terminal, all of it in one line'
    busy('drain', '-q')
    lines = in_terminal(busy, 'status', NO_COLOR='1').splitlines()
    busy('drain', 'off', '-q')
    assert all(len(line) <= 80 for line in lines if not line.startswith(' State dir: '))
    assert '     State: draining: no task is started until you run: jobbersctl drain off' in lines


def test_tasks_cannot_write_to_the_terminal(busy):
    """Errors and status texts are the task's own words."""
    busy.daemon.define('evil', """printf '{"error": {"type": "x", "message": "\\\\u001b[2Jgone\\\\nand \\\\u009b31m\\\\u007f"}}' >"$JOBBERS_RESULT"
systemd-notify STATUS="$(printf 'a\\033]0;title\\007b')"; exit 1""")
    busy.daemon.reload()
    task = busy.submit('evil')
    busy('wait', task, status=1)
    for words in (['status', task], ['list', '--all'], ['top', '--once']):
        out = in_terminal(busy, *words, NO_COLOR='1')
        assert not [c for c in out if ord(c) < 32 and c not in '\r\n' or 0x7f <= ord(c) < 0xa0], words
    out, err = busy.all('run', 'evil')[1:]
    assert 'gone and' in err and not [c for c in err if ord(c) < 32 and c != '\n' or 0x7f <= ord(c) < 0xa0]
    assert 'gone\nand' in busy.json('status', task)['last_error'] and 'gone and' in busy('status', task), 'one line stays one'


def test_output_of_tasks_is_plain_on_a_terminal(busy):
    """What root sees of it, that is; a pipe gets what the task wrote."""
    raw = 'a\\033[2Jb\\033[31mc\\033[0m d\\033]0;title\\007e\\033]0;title\\033\\134f g\\r10%%\\r20%%\\r\\n\\302\\233h \\303\\244 \\302\\265 \\033(Bi\\010j\\tk\\n\\033]never ends\\n'
    busy.daemon.define('colours', f"printf '{raw}'")
    busy.daemon.reload()
    task = busy.submit('colours')
    busy('wait', task)
    plain = 'abc def g 10% 20%\r\n h ä µ i j\tk\r\n\r\n-- '
    for words in (['logs', task], ['logs', '-f', task], ['logs', '-n9', task], ['logs', '-f', '-n9', task], ['status', task]):
        out = in_terminal(busy, *words, NO_COLOR='1').replace('        k', '\tk')
        assert plain in out, words
        assert not [c for c in out if ord(c) < 32 and c not in '\r\n\t' or 0x7f <= ord(c) < 0xa0], words
    assert plain in in_terminal(busy, 'logs', task, PAGER='tee /dev/null'), 'through a pager, too'
    for words in (['logs', task], ['status', task]):
        assert 'a\033[2Jb\033[31mc' in busy(*words)


def test_pager(busy, tmp_path):
    log = tmp_path / 'paged'
    out = in_terminal(busy, 'list', '--all', PAGER=f'tee {log}')
    assert ' tasks.\n' in log.read_text() and ' tasks.' in out
    log.unlink()
    for words in (['list', '--no-pager'], ['list', '--json=short']):
        in_terminal(busy, *words, PAGER=f'tee {log}')
        assert not log.exists()


def test_ascii_where_the_locale_is(busy):
    out = Ctl(busy.daemon, LC_ALL='C')('top', '--once')
    assert out.isascii() and '.' * 30 in out


def test_help_is_the_table():
    """Every verb and every option of verbs.def is in the help, which fits 80 columns."""
    with open(os.path.join(TREE, 'jobbersctl', 'verbs.def')) as f:
        text = f.read()
    ctl = Ctl()
    general = ctl('--help')
    for verb in re.findall(r'^VERB\(\w+, "([a-z-]+)"', text, re.M):
        assert re.search(rf'^  {verb}( |$)', general, re.M)
        own = ctl(verb, '--help')
        assert own == ctl('--help', verb) and own.startswith(f'jobbersctl {verb}') and all(len(line) <= 80 for line in own.splitlines()), verb
        options = re.search(rf'^VERB\(\w+, "{verb}", -?\d+, -?\d+, "[^"]*", "([^"]*)"', text, re.M).group(1).split()
        assert all(re.search(rf' --{o}(=| |$)', own, re.M) for o in options), verb
    for option, common in re.findall(r'^OPTION\(\w+, "([a-z-]+)", [^,]+, "[^"]*", (true|false)', text, re.M):
        assert (f' --{option}' in general) == (common == 'true'), option
    assert all(len(line) <= 80 for line in general.splitlines())
    assert re.fullmatch(r'jobbersctl \d+\.\d+\.\d+\n', ctl('--version'))
    assert '$JOBBERS_EDITOR, $VISUAL or $EDITOR' in ' '.join(ctl('edit', '--help').split()) and '$JOBBERS_PAGER or $PAGER' in general
    assert '/etc/jobbers/token; of your own daemon' in ' '.join(general.split())


def test_options_of_other_verbs_are_refused(ctl):
    assert ctl.refused('list', '--wait', status=2) == 'jobbersctl: list takes no --wait. See: jobbersctl list --help'
    assert ctl.refused('logs', status=2).endswith('jobbersctl logs ID')
    assert ctl.refused('logs', 'a', 'b', status=2).endswith('jobbersctl logs ID')
    status, out, err = ctl.all('list', '--no-such-option')
    assert status == 2 and out == '' and 'jobbersctl list --help' in err


def test_suggestions(ctl):
    for typed, meant in (('statsu', 'status'), ('lst', 'list'), ('resbumit', 'resubmit'), ('set-qeue', 'set-queue'), ('queue', 'queues')):
        assert ctl.refused(typed, status=2) == f'jobbersctl: there is no verb "{typed}". Did you mean "{meant}"?'
    assert ctl.refused('xyzzy', status=2) == 'jobbersctl: there is no verb "xyzzy". See: jobbersctl --help'
    assert ctl.refused('tasks', 'ecko', status=4).endswith('Did you mean "echo"?')
    assert ctl.refused('submit', 'progres', status=4).endswith('Did you mean "progress" version 1?')
    assert ctl.refused('submit', 'ok', '--queue=defualt', status=4).endswith('Did you mean "default"?')


def test_exit_statuses(ctl, tmp_path):
    """As jobbersctl(1) has them: 0 done, 1 refused or not reachable, 2 wrong use, 4 no such thing."""
    nobody = '01JBKR2E5F3G4H5J6K7M8N9P0Z'
    assert ctl.all('status')[0] == 0
    assert Ctl(JOBBERS_SOCKET=str(tmp_path / 'none')).all('status')[0] == 1
    assert ctl.all('delete-queue', 'default')[0] == 1
    assert ctl.all('cancel')[0] == 2 and ctl.all('list', '--limit=x')[0] == 2 and ctl.all('list', '--status=odd')[0] == 2
    for words in (['status', nobody], ['logs', nobody], ['wait', nobody], ['cancel', nobody], ['resubmit', nobody], ['dlq', 'history', nobody],
                  ['dlq', 'remove', nobody], ['queues', 'no'], ['pause', 'no'], ['delete-queue', 'no'], ['roles', 'no'], ['delete-role', 'no'],
                  ['tasks', 'no']):
        assert ctl.all(*words)[0] == 4, words


def test_over_tcp(ctl, tmp_path):
    host, token = f'--host=127.0.0.1:{ctl.daemon.port}', f'--token-file={ctl.daemon.path("token")}'
    assert ctl('run', host, token, 'say') == 'first\nsecond\n{"said":2}\n'
    assert ctl('-H', f'http://127.0.0.1:{ctl.daemon.port}/', token, 'queues') == ctl('queues')
    assert ctl('list', '-H', f'localhost:{ctl.daemon.port}', token, '--all', '--limit=1').startswith('ID')
    held = ctl.popen('run', host, token, 'hold')
    assert held.stdout.readline() == 'held\n', 'live over TCP, too'
    ctl.daemon.box.line()
    ctl.daemon.gate.open()
    assert held.wait(60) == 0
    wrong = tmp_path / 'token'
    wrong.write_text('wrong\n')
    assert ctl.refused('list', host, f'--token-file={wrong}').endswith('Name the file with the token: --token-file=FILE')


def test_where_the_socket_is(ctl):
    other = Ctl(JOBBERS_SOCKET='/nonexistent')
    assert other.refused('list').startswith('jobbersctl: jobbersd is not running: there is no /nonexistent.')
    assert other('list', f'--socket={ctl.daemon.path("s")}') == ctl('list'), 'what is typed goes before the environment'
    assert '/run/jobbers/jobbers.sock' in other.all('list', '--system')[2] or os.path.exists('/run/jobbers/jobbers.sock')
