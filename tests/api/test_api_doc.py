"""docs/API.md is true: every command in it runs, in order, and answers what stands below it. After a change of the API:

    UPDATE=1 /usr/bin/python3 -m pytest tests/api/test_api_doc.py

writes the answers anew. Ids that the server makes, times and measurements are shown as they came and compared by form."""
import json
import os
import re
import subprocess

import pytest

from harness import TREE

DOC = os.path.join(TREE, 'docs', 'API.md')
BLOCK = re.compile(r'```sh\n(.*?)```\n(?:\n```(json|text)\n(.*?)```\n)?', re.S)
DEAD, CANCELLED = '01JBKR2E5F3G4H5J6K7M8N9P33', '01JBKR2E5F3G4H5J6K7M8N9P11'
OURS = {'01JBKR2E5F3G4H5J6K7M8N9P0Q', DEAD, CANCELLED, '01JBKR2E5F3G4H5J6K7M8N9P22'}


def form(text):
    """What stays the same from run to run."""
    text = re.sub(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', lambda m: m.group() if m.group().startswith('2099') or m.group().startswith('2098')
                  else 'TIME', text)
    text = re.sub(r'\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b', lambda m: m.group() if m.group() in OURS else 'ID', text)
    text = re.sub(r'"(cpu_usec|memory_peak|io_read|io_write|oom_kills|pids_peak|pid|bytes)": ?(\d+|null)', r'"\1": N', text)
    text = re.sub(r'"scope": ?("[^"]*"|null)', '"scope": S', text)
    text = re.sub(r'"(launcher|mode|state_dir|file)": ?"[^"]*"', r'"\1": S', text)
    text = re.sub(r'"limits": ?\[[^]]*\]', '"limits": []', text)
    return text


def show(out):
    try:
        return 'json', json.dumps(json.loads(out), indent=2, ensure_ascii=False) + '\n'
    except ValueError:
        return 'text', out if out.endswith('\n') else out + '\n'


@pytest.fixture
def shell(make_daemon):
    d = make_daemon(slots=4)
    d.define('greet', 'echo "hello, world"', Description='Says hello', extra='[Parameters]\nwhom=string\n')
    d.define('break', 'echo "going wrong" >&2; exit 70', DeadLetterPolicy='save')
    d.start()
    d.post('/submit-task', {'id': DEAD, 'name': 'break', 'version': 1})
    d.wait_final(DEAD)
    d.post('/schedule-task', {'task': {'id': CANCELLED, 'name': 'greet', 'version': 1}, 'run_at': '2098-01-01T00:00:00Z'})

    def run(command):
        env = dict(os.environ, API=f'http://localhost:{d.port}', AUTH=f'Authorization: Bearer {d.token}', JSON='Content-Type: application/json')
        r = subprocess.run(['/bin/sh', '-c', command], env=env, capture_output=True, text=True, timeout=60)
        assert not r.stderr, r.stderr
        settle(d)
        return r.stdout

    return run


def settle(d):
    """The next command finds everything at rest, as a person would who reads between two commands."""
    for status in ('submitted', 'started'):
        for t in d.ask('GET', '/task-list', status=status).json['tasks']:
            d.wait_final(t['id'])


def test_document(shell):
    with open(DOC) as f:
        text = f.read()
    update = os.environ.get('UPDATE')
    wrong = []

    def check(m):
        command, kind, documented = m.groups()
        real_kind, real = show(shell(command))
        if update:
            return f'```sh\n{command}```\n\n```{real_kind}\n{real}```\n'
        if kind != real_kind or form(documented or '') != form(real):
            wrong.append(f'{command}\n--- documented\n{form(documented or "nothing")}\n--- real\n{form(real)}')
        return m.group()

    new = BLOCK.sub(check, text)
    assert not wrong, '\n'.join(wrong)
    if update:
        with open(DOC, 'w') as f:
            f.write(new)


def test_every_operation_has_its_example(daemon):
    with open(DOC) as f:
        text = f.read()
    called = set()
    for command, _, _ in BLOCK.findall(text):
        path = re.search(r'\$API(/[^\s"?|]*)', command).group(1)
        method = re.search(r'-X (\w+)', command)
        called.add((method.group(1) if method else 'POST' if ' -d ' in command else 'GET', path))
    spec = daemon.get('/openapi.json')
    for path, methods in spec['paths'].items():
        for method in methods:
            pattern = re.sub(r'\\{\w+\\}', '[^/]+', re.escape(path))
            assert any(m == method.upper() and re.fullmatch(pattern, p) for m, p in called), f'no example of {method.upper()} {path}'
