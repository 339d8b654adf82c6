"""STRICT=1 turns skips into failures, as in tests/api."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get('STRICT') == '1':
        report.outcome = 'failed'
        report.longrepr = f'skipped under STRICT=1: {report.longrepr}'
