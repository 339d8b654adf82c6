"""Tests of jobbersctl against a real daemon. One daemon serves a file of tests; a test that changes more than its own tasks starts another."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
sys.dont_write_bytecode = True
from ctl import Ctl  # noqa: E402
from harness import Daemon  # noqa: E402

MODE = 'system' if os.geteuid() == 0 else 'user'


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, 'failed_' + report.when, report.failed)
    if report.skipped and os.environ.get('STRICT') == '1':
        report.outcome = 'failed'
        report.longrepr = f'skipped under STRICT=1: {report.longrepr}'


def make():
    d = Daemon(MODE, slots=8)
    d.define('ok', 'exit 0', Description='Does nothing')
    d.define('say', 'echo first; echo second >&2; echo \'{"said": 2}\' >"$JOBBERS_RESULT"', Description='Says two lines')
    d.define('echo', 'cat >"$JOBBERS_RESULT"', version=2,
             extra='[Parameters]\nwhom = string, required\nn = integer\nx = number\nyes = boolean\nlist = array\n')
    d.define('echo', 'cat >"$JOBBERS_RESULT"', version=1)
    d.define('exit', 'exec sh -c "exit $(tr -dc 0-9)"', MaxRetries=0)
    d.define('die', 'kill -9 $$')
    d.define('dead', 'echo last words; exit 70', DeadLetterPolicy='save')
    d.define('later', 'echo not yet; exit 75', RetryDelaySec='5min')
    # says that it runs, shows a progress, then waits for the gate
    d.define('hold', 'echo held; echo start $JOBBERS_TASK_ID >@BOX@\nread -r x <@GATE@\nexit 0')
    d.define('progress', 'systemd-notify X_JOBBERS_PROGRESS=42 STATUS="importing the rows of a file whose name is rather long"\n'
             'echo start $JOBBERS_TASK_ID >@BOX@\nread -r x <@GATE@\nexit 0')
    return d.start()


@pytest.fixture(scope='module')
def shared():
    d = make()
    yield d
    d.post('/tasks/cancel', {'status': 'started'})
    d.close()


@pytest.fixture
def daemon(request):
    d = make()
    yield d
    failed = getattr(request.node, 'failed_call', True)
    if failed:
        sys.stderr.write(d.log()[-4000:])
    d.close(check=not failed)


@pytest.fixture
def ctl(shared):
    return Ctl(shared)
