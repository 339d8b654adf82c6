"""Fixtures of the API tests. Run them with /usr/bin/python3 -m pytest tests/api [-n 2]; JOBBERS_BUILD=build-san for another flavour.

STRICT=1 turns skips into failures."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Daemon  # noqa: E402

IS_ROOT = os.geteuid() == 0


def pytest_configure(config):
    config.addinivalue_line('markers', 'modes(*names): run in each of these modes ("system" needs root)')


def pytest_generate_tests(metafunc):
    if 'mode' not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker('modes')
    default = ('system',) if IS_ROOT else ('user',)
    metafunc.parametrize('mode', marker.args if marker else default, indirect=True)


@pytest.fixture
def mode(request):
    if request.param == 'system' and not IS_ROOT:
        pytest.skip('system mode needs root')
    return request.param


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, 'failed_' + report.when, report.failed)
    if report.skipped and os.environ.get('STRICT') == '1':
        report.outcome = 'failed'
        report.longrepr = f'skipped under STRICT=1: {report.longrepr}'


@pytest.fixture
def make_daemon(request, mode):
    """make_daemon(**settings) → a Daemon that is not started yet. All are ended, and held to their promises, after the test."""
    made = []

    def make(**settings):
        d = Daemon(mode, **settings)
        made.append(d)
        return d

    yield make
    failed = getattr(request.node, 'failed_call', True)
    problems = []
    for d in reversed(made):
        if failed:
            sys.stderr.write(f'── stderr of {d.tmp} ──\n{d.log()[-8000:]}\n')
        try:
            d.close(check=not failed)
        except AssertionError as e:
            problems.append(str(e))
    assert not problems or failed, '\n'.join(problems)


@pytest.fixture
def daemon(make_daemon):
    """One with plenty of slots and the tasks that most tests use, started."""
    d = make_daemon(slots=16)
    standard_tasks(d)
    return d.start()


def standard_tasks(d):
    d.define('ok', 'exit 0')
    d.define('fail', 'exit 1')
    # says that it runs, then waits for the gate
    d.define('hold', 'echo start $JOBBERS_TASK_ID $JOBBERS_ATTEMPT $$ >@BOX@\nread -r x <@GATE@\nexit 0')
    d.define('tempfail', 'exit 75', MaxRetries=0)
