"""What keeps a daemon from starting, or holds only in part on this host, is said in sentences that lead on."""
import errno
import os
import socket
import subprocess

import pytest

from harness import BUILD, PROGRAMS, TREE, Daemon, until
from run_harness import HOLDERS, Launcher


def within(d, script):
    """Starts it in a mount namespace of its own, after the script."""
    d.command = lambda: ['unshare', '--mount', 'sh', '-c', script + '; exec "$@"', 'sh'] + Daemon.command(d)


# ── users ──

@pytest.mark.modes('system')
@pytest.mark.parametrize('user', ['jobbers', 'jobbers-task'])
def test_a_user_of_the_package_is_missing(make_daemon, user):
    d = make_daemon()
    with open('/etc/passwd') as f, open(d.path('passwd'), 'w') as g:
        g.writelines(line for line in f if not line.startswith(user + ':'))
    within(d, f'mount --bind {d.path("passwd")} /etc/passwd')
    assert d.start_refused() != 0
    assert f'There is no user "{user}" on this system' in d.log()
    command = d.log().splitlines()[-1].split()
    if command[0] == 'systemd-sysusers':
        assert os.path.exists(command[1])
        assert PROGRAMS != BUILD or os.path.samefile(command[1], os.path.join(TREE, 'units', 'jobbers.sysusers'))
    else:
        assert command == ['make', 'deps']
    assert not os.path.exists(d.path('state'))


@pytest.mark.modes('system')
def test_the_default_user_is_missing(make_daemon):
    d = make_daemon(default_user='no-such-user')
    assert d.start_refused() != 0
    assert 'There is no user "no-such-user" on this system, as which tasks run whose definition has no User=.\nCreate it' in d.log()
    assert d.log().count('no-such-user') == 1


@pytest.mark.modes('system')
def test_a_reload_names_users_that_are_missing(make_daemon):
    d = make_daemon()
    d.define('of_a_ghost', 'exit 0', User='no-such-user')
    d.start()
    assert 'of_a_ghost.task: User=no-such-user: there is no such user on this host' in d.log()
    assert d.post('/reload')['problems'] == 1


# ── addresses ──

@pytest.fixture
def port_8000():
    """Taken, by us if by nobody else."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(('127.0.0.1', 8000))
            s.listen()
        except OSError as e:
            assert e.errno == errno.EADDRINUSE
        yield '127.0.0.1:8000'


@pytest.mark.modes('user')
def test_the_default_port_is_taken(make_daemon, port_8000):
    """By the system's own jobbersd for example: an ordinary user who starts another without arguments gets a working one."""
    d = make_daemon()
    del d.settings['listen']
    d.socket_path = d.path('run', 'jobbers', 'jobbers.sock')
    d.define('ok', 'exit 0')
    d.start()
    assert f'another program listens on {port_8000}, so only {d.socket_path} is served' in d.log()
    assert f'--listen=unix:{d.socket_path} --listen=127.0.0.1:PORT' in d.log()
    assert d.run('ok')['status'] == 'completed'


def test_a_port_that_was_asked_for_is_taken(make_daemon, port_8000):
    d = make_daemon(listen=[port_8000])
    assert d.start_refused() != 0
    assert f'cannot listen on {port_8000}: another program listens there; choose another address with --listen=' in d.log()


# ── what holds attempts ──

def held_by(d, holder):
    d.command = lambda: HOLDERS[holder][0] + Daemon.command(d)


@pytest.mark.modes('system')
def test_what_does_not_hold_without_cgroups_and_namespaces(make_daemon):
    d = make_daemon()
    held_by(d, 'tree')
    d.start()
    health = until(lambda: (lambda h: h if h['launcher'] else None)(d.get('/health')), 'the launcher has said hello')
    assert health['launcher'] == 'tree' and 'may run beside them' in health['limits'][0]
    assert health['limits'][0] in d.log()


@pytest.mark.modes('user')
def test_what_a_user_namespace_means_is_said(make_daemon):
    """It is also so: what root owns looks like nobody's."""
    d = make_daemon()
    d.define('look', 'echo "{\\"owner\\": $(stat -c %u /)}" >"$JOBBERS_RESULT"')
    d.start()
    health = until(lambda: (lambda h: h if h['launcher'] else None)(d.get('/health')), 'the launcher has said hello')
    said = any('user namespaces' in s for s in health['limits'])
    owner = d.run('look')['results']['owner']
    assert (owner == 65534) == said, (owner, health)
    assert ('files of other users, root\'s too, appear to belong to uid 65534' in d.log()) == said


# ── files and directories ──

def test_a_settings_file_that_is_not_there(make_daemon):
    d = make_daemon(config='/nope/jobbersd.conf')
    assert d.start_refused() == 2
    assert d.log() == 'jobbersd: cannot read /nope/jobbersd.conf: No such file or directory\n'


@pytest.mark.modes('system')
def test_a_state_directory_of_another(make_daemon):
    d = make_daemon()
    os.mkdir(d.path('state'), 0o700)
    assert d.start_refused() != 0
    command = f'chown jobbers: {d.path("state")}'
    assert f'belongs to root and not to jobbers, as which jobbersd runs; give it away ({command})' in d.log()
    subprocess.run(command.split(), check=True)
    d.start()
    d.stop()


@pytest.mark.modes('user')
def test_a_wrong_runtime_directory(make_daemon):
    """Of another user, for example, as after su."""
    d = make_daemon()
    os.mkdir(d.path('other'), 0o700)
    d.environment['XDG_RUNTIME_DIR'] = d.path('other')
    os.chmod(d.path('other'), 0o500 if os.geteuid() else 0o700)
    assert d.start_refused() != 0
    assert f'cannot create {d.path("other")}/jobbers: Permission denied; is XDG_RUNTIME_DIR right?\n' in d.log()


def test_a_wrong_runtime_directory_of_the_launcher():
    l = Launcher('user' if os.geteuid() == 0 else 'cgroup', flags=('--user',))
    try:
        l.env['XDG_RUNTIME_DIR'] = '/proc/nowhere'
        l.start(wait_hello=False)
        assert l.process.wait(20) == 1
        assert 'cannot create the directory of attempts /proc/nowhere/jobbers/attempts' in l.log() and 'is XDG_RUNTIME_DIR right?' in l.log()
    finally:
        l.process = None
        l.close()


@pytest.mark.modes('system')
def test_no_auth_names_a_socket_that_is_served(make_daemon):
    d = make_daemon(no_auth=True)
    assert d.start_refused() != 0
    assert f'use the socket {d.path("s")}\n' in d.log()
    d = make_daemon(no_auth=True, listen=['127.0.0.1:0'])
    assert d.start_refused() != 0
    assert 'use the socket instead: --listen=unix:/run/jobbers/jobbers.sock\n' in d.log()


# ── the end ──

def test_one_attempt_is_running(make_daemon):
    d = make_daemon()
    d.define('hold', 'echo up >@BOX@; exec sleep 1000')
    d.start()
    d.submit('hold')
    assert d.box.line() == 'up'
    d.stop()
    assert 'stopping; 1 attempt is running, waiting up to' in d.log()
