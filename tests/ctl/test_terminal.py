"""What people see: top and status in a terminal (tmux) of 80 and of 120 columns."""
import os
import re
import signal
import subprocess

import pytest

from ctl import JOBBERSCTL, Ctl
from harness import until


class Terminal:
    """A shell in a tmux of its own."""

    def __init__(self, daemon, tmp_path, columns, lines=24):
        self.tmux = ['tmux', '-S', str(tmp_path / f'tmux-{columns}'), '-f', '/dev/null']
        environment = {**Ctl(daemon).environment, 'PATH': f'{os.path.dirname(JOBBERSCTL)}:/usr/bin:/bin', 'HOME': str(tmp_path), 'PAGER': 'less',
                       'SHELL': '/bin/sh'}
        (tmp_path / 'rc').write_text("PS1='ready$ '\n")
        self.do('-u', 'new-session', '-d', '-x', str(columns), '-y', str(lines), '-c', str(tmp_path),
                f'exec bash --noprofile --rcfile {tmp_path}/rc', env=environment)
        try:
            self.prompt()
        except AssertionError:
            self.close()
            raise

    def do(self, *words, **how):
        return subprocess.run([*self.tmux, *words], check=True, capture_output=True, text=True, timeout=30, **how).stdout

    def screen(self):
        return self.do('capture-pane', '-p').rstrip('\n')

    def until(self, text, absent=False):
        """The screen as soon as it has this (a string or a pattern), or has it no more."""
        found = (lambda s: text in s) if isinstance(text, str) else text.search
        return until(lambda: (lambda s: s if bool(found(s)) != absent else None)(self.screen()), f'{text} in:\n{self.screen()}')

    def prompt(self):
        """Until the shell waits for a command."""
        return self.until(re.compile(r'ready\$ ?\Z'))

    def type(self, *keys):
        self.do('send-keys', *keys)

    def command(self, line):
        self.type('-l', line)
        self.type('Enter')

    def resize(self, columns, lines):
        self.do('resize-window', '-x', str(columns), '-y', str(lines))

    def close(self):
        subprocess.run([*self.tmux, 'kill-server'], capture_output=True)


@pytest.fixture
def open_terminal(shared, tmp_path):
    opened = []

    def make(columns, lines=24):
        opened.append(Terminal(shared, tmp_path, columns, lines))
        return opened[-1]

    yield make
    for t in opened:
        t.close()


@pytest.fixture
def running(ctl):
    task = ctl.submit('progress')
    ctl.daemon.box.line()
    until(lambda: ctl.json('status', task)['progress'] == 42, 'its progress')
    yield task
    ctl.daemon.gate.open()
    ctl('wait', task)


@pytest.mark.parametrize('columns', [80, 120])
def test_top(open_terminal, running, ctl, columns):
    t = open_terminal(columns)
    t.command('jobbersctl top')
    lines = t.until(running).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert re.match(r'jobbersd \d+\.\d+\.\d+  \d\d:\d\d:\d\d  1 running, 0 waiting$', lines[0])
    assert re.match(r'███+░+ 1 of 8 slots, role default$', lines[1]) and lines[2] == ''
    assert lines[3].split() == ['QUEUE', 'RUNNING', 'WAITING', 'STATE'] and lines[4].split() == ['default', '1', '0', 'open']
    titles = ['ID', 'TASK', 'RUNS', 'FOR', 'PROGRESS', 'STATUS'] if columns == 80 else ['ID', 'TASK', 'QUEUE', 'RUNS', 'FOR', 'PROGRESS', 'STATUS']
    assert lines[6].split() == titles
    assert re.match(rf'{running} progress ' + ('.*████░░░░░░  42% importing .*…$' if columns == 80 else '.*████████░░░░░░░░░░░░  42% importing the rows of a fil'),
                    lines[7]), lines[7]
    # it lives: another task comes, and goes
    later = ctl.submit('hold')
    ctl.daemon.box.line()
    t.until(later)
    t.until('2 running')
    ctl('cancel', later)
    t.until(later, absent=True)
    t.type('q')
    t.prompt()
    assert running not in t.screen(), 'the screen of before is back'


def test_top_follows_the_size(open_terminal, running):
    t = open_terminal(80)
    t.command('jobbersctl top')
    t.until(re.compile('42% importing .*…$', re.M))
    t.resize(120, 40)
    t.until('QUEUE   RUNS FOR')
    t.resize(60, 12)
    assert all(len(line) <= 60 for line in t.until(re.compile(r'RUNS FOR PROGRESS')).splitlines())
    t.type('q')
    t.prompt()


@pytest.mark.parametrize('how', ['C-c', 'SIGTERM', 'SIGHUP', 'C-z'])
def test_top_gives_the_terminal_back(open_terminal, running, how):
    t = open_terminal(80)
    t.command('clear; stty -a | md5sum >before; echo "[$(jobs)]"')
    t.until('[]')
    t.command('jobbersctl top')
    t.until(running)
    assert t.do('display', '-p', '#{alternate_on} #{cursor_flag}').split() == ['1', '0']
    if how.startswith('C-'):
        t.type(how)
    else:
        shell = int(t.do('display', '-p', '#{pane_pid}'))
        [child] = open(f'/proc/{shell}/task/{shell}/children').read().split()
        os.kill(int(child), getattr(signal, how))
    t.prompt()
    until(lambda: t.do('display', '-p', '#{alternate_on} #{cursor_flag}').split() == ['0', '1'], 'the screen of before')
    assert running not in t.screen()
    if how == 'C-z':
        t.command('fg')
        t.until(running)
        t.type('q')
        t.prompt()
    t.command('clear; stty -a | md5sum | cmp - before && echo as before')
    t.until(re.compile('^as before', re.M))


def test_top_survives_the_daemon(open_terminal, daemon, tmp_path):
    t = Terminal(daemon, tmp_path, 80)
    try:
        t.command('jobbersctl top')
        t.until('0 running')
        daemon.stop()
        t.until('jobbersd is not running')
        assert 'Trying again every second; press q to leave.' in t.screen()
        daemon.start()
        t.until('0 running')
        t.type('q')
        t.prompt()
    finally:
        t.close()


def test_top_without_a_daemon(open_terminal):
    t = open_terminal(80)
    t.command('clear; jobbersctl top --socket=/nonexistent; echo "ended with $?"')
    assert 'jobbersd is not running: there is no /nonexistent.' in t.until('ended with 1').replace('\n', '')


@pytest.mark.parametrize('columns', [80, 120])
def test_status_of_a_task(open_terminal, running, columns):
    t = open_terminal(columns, 30)
    t.command(f'clear; jobbersctl status {running}; echo "ended with $?"')
    screen = t.until('ended with 0')
    assert re.search(rf'^● {running} - progress version 1$', screen, re.M)
    assert '  Progress: ████████████░░░░░░░░░░░░░░░░░░ 42%' in screen
    assert 'Status: "importing the rows of a file whose name is rather long"' in screen
    assert re.search(r'^ATTEMPT STARTED +RAN CPU MEMORY READ WRITTEN END$', screen, re.M)
    assert re.search(r'^ +1 \d\d:\d\d:\d\d .* runs$', screen, re.M)
    assert re.search(r'^-- .* attempt 1 started$', screen, re.M), 'its log'


@pytest.mark.parametrize('columns', [80, 120])
def test_status_of_the_daemon(open_terminal, running, ctl, columns):
    t = open_terminal(columns, 30)
    t.command('clear; jobbersctl status; echo "ended with $?"')
    screen = t.until('ended with 0')
    assert re.search(r'^● jobbersd ', screen, re.M) and '1 of 8 slots busy, role default' in screen
    assert re.search(r'^default +1 +0 open$', screen, re.M)


@pytest.mark.parametrize('columns', [80, 120])
def test_list(open_terminal, running, columns):
    t = open_terminal(columns)
    t.command('clear; jobbersctl list; echo "ended with $?"')
    screen = t.until('ended with 0')
    row = re.search(rf'^{running}.*$', screen, re.M).group(0)
    assert len(row) <= columns and '42% imp' in row and row.endswith('…') == (columns == 80)


def test_long_lists_are_paged(open_terminal, ctl, shared):
    for _ in range(40):
        ctl.submit('ok', '--at=+1h')
    t = open_terminal(80)
    t.command('clear; jobbersctl list; echo "ended with $?"')
    t.until(re.compile(r'^ID .*STATE', re.M))
    t.until(re.compile(r'^:$|^lines|--More--', re.M))
    assert 'ended' not in t.screen().split('\n', 1)[1]
    t.type('q')
    t.until('ended with 0')
    shared.post('/tasks/cancel', {'status': 'scheduled'})
