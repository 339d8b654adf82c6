"""`run`: output as it comes, the task's exit status, and what happens when it does not go on."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from ctl import Ctl
from harness import Daemon, until


def test_output_then_result(ctl):
    assert ctl('run', 'say') == 'first\nsecond\n{"said":2}\n'
    assert ctl('run', '-q', 'say') == '{"said":2}\n', 'only the result'
    status, out, err = ctl.all('run', '--json=short', 'say')
    assert status == 0 and json.loads(out)['results'] == {'said': 2} and err == 'first\nsecond\n'
    assert ctl('run', 'ok') == ''


def test_numbers_stay_what_they_are(ctl):
    """As they were written: on the way to the task, and back."""
    ctl.daemon.define('prices', 'cat >@DATA@/seen; cat @DATA@/seen >"$JOBBERS_RESULT"')
    ctl.daemon.reload()
    text = '{"price":19.99,"all":[0.1,5.0,0.30000000000000004,1e300]}'
    assert ctl('run', 'prices', 'price:=19.99', 'all:=[0.1, 5.0, 0.30000000000000004, 1e300]') == text + '\n'
    with open(ctl.daemon.path('data', 'seen')) as f:
        assert f.read() == text
    assert f'"parameters":{text}' in ctl('run', 'prices', '--json=short', 'price:=19.99', 'all:=[0.1, 5.0, 0.30000000000000004, 1e300]')


def test_output_is_live(ctl):
    p = ctl.popen('run', 'hold')
    assert p.stdout.readline() == 'held\n'
    assert p.poll() is None, 'the task waits for the gate, and so do we'
    ctl.daemon.box.line()
    ctl.daemon.gate.open()
    assert p.communicate(timeout=60) == ('', '') and p.returncode == 0


def test_exit_status_is_the_tasks(ctl):
    for n in (1, 2, 4, 75, 255):
        status, out, err = ctl.all('run', 'exit', f'n={n}')
        assert status == n and out == '' and f'failed: exit status {n}' in err
    status, out, err = ctl.all('run', 'die')
    assert status == 128 + signal.SIGKILL and 'SIGKILL' in err
    assert ctl.all('run', '-q', 'exit', 'n=3') == (3, '', '')


def test_cancelled_meanwhile(ctl):
    p = ctl.popen('run', 'hold')
    task = ctl.daemon.box.words()[1]
    ctl('cancel', task)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 128 + signal.SIGTERM and err == f'jobbersctl: task {task} was cancelled.\n'


def test_stalled(daemon):
    """Once is enough, for jobbersctl and in the daemon's log."""
    daemon.define('silent', 'read -r x <@GATE@', MaxHeartbeatIntervalSec='300ms', KillGraceSec='100ms')
    daemon.reload()
    status, out, err = Ctl(daemon).all('run', 'silent')
    assert status > 128 and re.fullmatch(r'jobbersctl: task \w{26} stalled: no heartbeat for 300ms\.\n', err)
    assert 'started → stalled: no heartbeat for 300ms' in daemon.log()


def test_own_faults_have_a_status_of_their_own(ctl, tmp_path):
    assert ctl.all('run', 'nothing-of-the-kind')[0] == 125
    assert ctl.all('run')[0] == 125
    assert ctl.all('run', 'ok', '--all')[0] == 125
    for words in (['run', '--bogus', 'ok'], ['run', 'ok', '--priority=1000'], ['run', 'ok', '--queue'], ['submit', 'ok', '--wait', '--bogus'],
                  ['submit', 'ok', '--bogus', '-f'], ['--priority=x', 'submit', '--wait', 'ok']):
        assert ctl.refused(*words, status=125), words
    assert ctl.all('submit', 'ok', '--bogus')[0] == 2 and ctl.all('--bogus')[0] == 2
    assert Ctl(JOBBERS_SOCKET=str(tmp_path / 'none')).all('run', 'ok')[0] == 125
    assert ctl.all('submit', 'nothing-of-the-kind', '--wait')[0] == 125
    assert ctl.all('submit', 'nothing-of-the-kind')[0] == 4


def test_ctrl_c_leaves_the_task(ctl):
    p = ctl.popen('run', 'hold')
    task = ctl.daemon.box.words()[1]
    assert p.stdout.readline() == 'held\n'
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == -signal.SIGINT
    assert f'task {task} keeps running' in err and f'jobbersctl cancel {task}' in err
    assert ctl.daemon.status(task)['status'] == 'started'
    ctl.daemon.gate.open()
    ctl('wait', task)


def test_daemon_ends_meanwhile(daemon):
    ctl = Ctl(daemon)
    p = ctl.popen('run', 'hold')
    daemon.box.line()
    assert p.stdout.readline() == 'held\n'
    daemon.kill9()
    out, err = p.communicate(timeout=60)
    first, second = err.splitlines()
    assert p.returncode == 125 and 'jobbersd is not running' in first
    daemon.start()
    task = ctl.json('list')[0]['id']
    assert second == f'jobbersctl: task {task} was submitted; see: jobbersctl status {task}'
    daemon.gate.open()
    until(lambda: ctl.json('list') == [], 'its end')


def test_a_daemon_that_goes_is_said_once(tmp_path):
    """It has stopped listening while it still holds what is followed; after a second of silence it is asked why."""
    path = str(tmp_path / 'socket')
    submitted = {'id': '01JBKR2E5F3G4H5J6K7M8N9P0Q', 'status': 'started', 'queue': 'default'}
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        p = Ctl(JOBBERS_SOCKET=path).popen('run', 'ok')
        c, _ = s.accept()
    for answer in ({'definitions': [{'name': 'ok', 'version': 1}]}, {'task': submitted}, submitted):
        c.recv(65536)
        text = json.dumps(answer).encode()
        c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(text), text))
    c.recv(65536)
    c.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    time.sleep(1.5)
    c.close()
    out, err = p.communicate(timeout=60)
    first, second = err.splitlines()
    assert p.returncode == 125 and 'jobbersd is not running' in first and re.match(r'jobbersctl: task \w{26} was submitted; see: ', second)


def test_a_stop_is_not_the_end_of_the_task(daemon):
    task = Ctl(daemon).submit('hold')
    daemon.box.line()
    p = Ctl(daemon).popen('logs', '-f', '--no-lifecycle', task)
    assert p.stdout.readline() == 'held\n'
    daemon.stop()
    out, err = p.communicate(timeout=60)
    assert p.returncode == 1 and out == '' and 'jobbersd is not running' in err


def test_a_retry_is_followed(ctl, shared):
    shared.define('twice', 'echo attempt $JOBBERS_ATTEMPT\n[ $JOBBERS_ATTEMPT = 2 ] || exit 75')
    shared.reload()
    assert ctl('run', 'twice') == 'attempt 1\nattempt 2\n'


def test_much_output(ctl, shared):
    shared.define('much', 'seq 1 200000')
    shared.reload()
    assert ctl('run', 'much') == ''.join(f'{n}\n' for n in range(1, 200001))


def test_why_it_waits(daemon):
    """After a second of silence it says what it waits for; nothing where the task just takes its time."""
    ctl = Ctl(daemon)
    ctl('pause', '-q', 'default')
    p = ctl.popen('run', 'ok')
    assert p.stderr.readline() == 'jobbersctl: queue "default" is paused: the task waits until you run: jobbersctl resume default\n'
    ctl('resume', '-q', 'default')
    assert p.communicate(timeout=60) == ('', '') and p.returncode == 0

    ctl('set-queue', '-q', 'default', 'max_concurrent=1')
    task = ctl.submit('hold')
    daemon.box.line()
    p = ctl.popen('run', 'ok')
    assert p.stderr.readline() == ('jobbersctl: the task waits for its turn: 1 waiting and 1 running in queue "default"; 1 of 8 slots are busy. '
                                   'See: jobbersctl queues\n')
    daemon.gate.open()
    assert p.communicate(timeout=60) == ('', '') and p.returncode == 0
    ctl('wait', task)

    p = ctl.popen('run', 'ok', '--at=+1h')
    assert re.match(r'jobbersctl: the task waits for its scheduled time: \w+ [-0-9]+ [:0-9]+ \S+; in (1h|59min)', p.stderr.readline())
    p.terminate()
    p.communicate(timeout=60)


class ActivatedDaemon(Daemon):
    """One whose socket is held by somebody else, as systemd does, and outlives it."""

    def spawn(self):
        self.notifications.drain()
        self.settings['listen'] = ['127.0.0.1:0']
        if not hasattr(self, 'listener'):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path('s'))
            self.listener.listen()
        command = ['/bin/bash', '-c', f'exec 3<&{self.listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', 'sh', *self.command()]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, env=self.environment, cwd='/',
                                        pass_fds=[self.listener.fileno()])
        self.pidfd = os.pidfd_open(self.process.pid)


@pytest.mark.parametrize('how', ['kill9', 'stop'])
def test_nobody_notices_a_restart(how):
    daemon = ActivatedDaemon('system' if os.geteuid() == 0 else 'user')
    daemon.define('hold', 'echo held; echo start >@BOX@\nread -r x <@GATE@\necho gone on', OnShutdown='resubmit')
    try:
        daemon.start()
        ctl = Ctl(daemon)
        runs = ctl.popen('run', 'hold')
        assert runs.stdout.readline() == 'held\n'
        daemon.box.line()
        task = ctl.json('list')[0]['id']
        waits, follows = ctl.popen('wait', task), ctl.popen('logs', '-f', '--no-lifecycle', task)
        assert follows.stdout.readline() == 'held\n'
        getattr(daemon, how)()
        assert runs.poll() is None and waits.poll() is None and follows.poll() is None, 'they wait for the next daemon'
        daemon.start()
        if how == 'stop':
            daemon.box.line()       # it was stopped with the daemon, and runs anew
        daemon.gate.open()
        out, err = runs.communicate(timeout=60)
        assert runs.returncode == 0 and out == ('gone on\n' if how == 'kill9' else 'held\ngone on\n')
        assert all('the task waits for its turn' in line for line in err.splitlines()), err
        assert waits.wait(60) == 0
        assert follows.communicate(timeout=60) == (out, '') and follows.returncode == 0
    finally:
        daemon.listener.close()
        daemon.close(check=False)


def test_a_restart_is_lived_through(tmp_path):
    """Where systemd holds the socket, a restart is a connection that ends in the middle and another one that is answered."""
    path = str(tmp_path / 'socket')
    head = b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n'
    record = json.dumps({'id': '01JBKR2E5F3G4H5J6K7M8N9P0Q', 'status': 'completed'}).encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()

        def serve(*answers):
            for answer in answers:
                c, _ = s.accept()
                c.recv(65536)
                c.sendall(answer)
                c.close()

        p = Ctl(JOBBERS_SOCKET=path).popen('logs', '-f', '01JBKR2E5F3G4H5J6K7M8N9P0Q')
        serve(head + b'4\r\none\n\r\n', head + b'4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n')
        assert p.communicate(timeout=60) == ('one\ntwo\n', '') and p.returncode == 0, 'nothing twice, nothing missing'

        p = Ctl(JOBBERS_SOCKET=path).popen('wait', '01JBKR2E5F3G4H5J6K7M8N9P0Q')
        serve(b'', b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(record), record))
        assert p.communicate(timeout=60) == ('01JBKR2E5F3G4H5J6K7M8N9P0Q completed\n', '') and p.returncode == 0
