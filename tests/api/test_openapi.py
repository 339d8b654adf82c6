"""/openapi.json tells the truth: every route is called and every answer held against it, and generated requests get documented
statuses and JSON errors only."""
import json
import re
import urllib.parse

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

NO_ID = '01JBKR2E5F3G4H5J6K718M9N0P'


def resolve(spec, schema):
    """The schema with what it refers to within reach of jsonschema."""
    return {'$schema': 'https://json-schema.org/draft/2020-12/schema', 'components': spec['components'], **schema}


def operations(spec):
    for path, methods in spec['paths'].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def check_answer(spec, operation, answer):
    """The answer is one that the operation documents."""
    documented = operation['responses'].get(str(answer.status))
    assert documented, f'{operation["operationId"]} answers {answer.status}, which is not documented: {answer.text[:300]}'
    kind, content = next(iter(documented['content'].items()))
    assert answer.headers['Content-Type'].split(';')[0] == kind
    if kind == 'application/json':
        jsonschema.Draft202012Validator(resolve(spec, content['schema']), format_checker=jsonschema.FormatChecker()).validate(answer.json)
        if answer.status >= 400:
            assert answer.json['detail']


@pytest.fixture
def spec(daemon):
    return daemon.get('/openapi.json')


def test_document(spec):
    assert spec['openapi'].startswith('3.1') and spec['info']['title'] == 'jobbers'
    ids = [o['operationId'] for _, _, o in operations(spec)]
    assert len(ids) == len(set(ids))
    for schema in spec['components']['schemas'].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(spec)
    for name in re.findall(r'#/components/schemas/(\w+)', text):
        assert name in spec['components']['schemas']
    for method, path, o in operations(spec):
        named = re.findall(r'\{(\w+)\}', path)
        assert [p['name'] for p in o['parameters'] if p['in'] == 'path'] == named
        assert o['summary'] and any(s.startswith('2') for s in o['responses'])


def test_reference_paths_are_there(spec):
    """Every path of the reference but DAGs, cron and routing."""
    wanted = '''GET / POST /submit-task POST /schedule-task GET /task-status/{} POST /task/{}/cancel POST /tasks/cancel GET /task-list
    GET /queues/{} POST /queues/{} GET /queues POST /queues GET /queues/{}/config PUT /queues/{} DELETE /queues/{} GET /dead-letter-queue
    DELETE /dead-letter-queue GET /dead-letter-queue/{}/history POST /dead-letter-queue/resubmit GET /active-tasks GET /scheduled-tasks
    GET /roles POST /roles GET /roles/{} PUT /roles/{} DELETE /roles/{}'''.split()
    there = {(m, re.sub(r'\{\w+\}', '{}', p)) for m, p, _ in operations(spec)}
    assert set(zip(wanted[::2], wanted[1::2])) <= there


def examples(daemon):
    """One good call per operation, in an order that works."""
    dead = daemon.run('dead')['id']
    task = daemon.run('ok')['id']
    later = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'})['task']['id']
    yield from (
        ('get', '/', None), ('post', '/submit-task', {'name': 'ok', 'version': 1}), ('post', '/submit-tasks', {'tasks': [{'name': 'ok', 'version': 1}]}),
        ('post', '/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'}),
        ('get', f'/task-status/{dead}', None), ('get', f'/task-status/{task}?wait=1', None), ('post', f'/task/{later}/cancel', None),
        ('post', f'/task/{task}/resubmit', None), ('get', f'/task/{dead}/logs', None), ('post', '/tasks/cancel', {'task_ids': [later, 'x']}),
        ('post', '/tasks/resubmit', {'task_ids': [later, NO_ID]}), ('get', '/task-list?limit=1', None), ('get', '/active-tasks', None),
        ('get', '/scheduled-tasks', None), ('get', '/queues', None), ('post', '/queues', {'name': 'q'}), ('get', '/queues/q/config', None),
        ('put', '/queues/q', {'max_concurrent': 2, 'rate_numerator': 3, 'rate_period': 'day', 'memory_max': '1G', 'cpu_quota': '50%'}),
        ('post', '/queues/q/pause', None), ('post', '/queues/q/resume', None), ('post', '/roles', {'name': 'r', 'queues': ['q']}),
        ('get', '/queues/r', None), ('post', '/queues/r', ['q', 'default']), ('get', '/roles', None), ('get', '/roles/r', None),
        ('put', '/roles/r', ['q']), ('post', '/roles/r/refresh', None), ('delete', '/roles/r', None), ('delete', '/queues/q?force=true', None),
        ('get', '/dead-letter-queue', None), ('get', f'/dead-letter-queue/{dead}/history', None),
        ('post', '/dead-letter-queue/resubmit', {'task_ids': [dead]}), ('delete', '/dead-letter-queue', {'task_ids': [dead]}),
        ('get', '/definitions', None), ('get', '/definitions/ok/1', None), ('get', '/status', None), ('post', '/reload', None),
        ('post', '/drain', {'enabled': False}), ('post', '/backup', None), ('get', '/health', None), ('get', '/metrics', None), ('get', '/openapi.json', None))


def pattern_of(spec, method, path):
    path = path.split('?')[0]
    fit = [p for p in spec['paths'] if method in spec['paths'][p] and re.fullmatch(re.sub(r'\\{\w+\\}', '[^/]+', re.escape(p)), path)]
    exact = [p for p in fit if p == path]
    return (exact or fit)[0]


def test_every_route_answers_as_documented(daemon, spec):
    daemon.define('dead', 'echo out; exit 1', DeadLetterPolicy='save', Description='ends in the dead letter queue',
                  extra='[Parameters]\nx=string\n')
    daemon.reload()
    called = set()
    for method, path, body in examples(daemon):
        pattern = pattern_of(spec, method, path)
        operation = spec['paths'][pattern][method]
        answer = daemon.ask(method.upper(), path, body)
        assert answer.status in (200, 201), f'{method} {path}: {answer}'
        check_answer(spec, operation, answer)
        called.add((method.upper(), pattern))
    assert called == {(m, p) for m, p, _ in operations(spec)}


# ── anything a client may send ──

NAMES = st.one_of(st.sampled_from(['default', 'ok', 'fail', 'q1', 'q2', 'nope', '..', 'a b', 'é', '%2F', '', 'x' * 65]), st.text(max_size=8))
IDS = st.one_of(st.just(NO_ID), st.just(NO_ID.lower()), st.text(max_size=30), st.from_regex(r'[0-9A-Za-z]{26}', fullmatch=True))
JSON = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-2**70, 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=10),
                              NAMES), lambda x: st.one_of(st.lists(x, max_size=3), st.dictionaries(st.text(max_size=6), x, max_size=3)), max_leaves=6)


def value_for(spec, schema):
    """Mostly what the schema asks for, at times anything."""
    if '$ref' in schema:
        return body_for(spec, spec['components']['schemas'][schema['$ref'].rsplit('/', 1)[1]])
    if 'anyOf' in schema:
        good = st.one_of(*[value_for(spec, s) for s in schema['anyOf']])
    elif 'enum' in schema:
        good = st.sampled_from(schema['enum'])
    else:
        good = {'integer': st.one_of(st.integers(0, 20), st.integers()), 'number': st.floats(0, 0.01), 'boolean': st.booleans(), 'null': st.none(),
                'array': st.lists(IDS if 'items' not in schema or not schema['items'] else value_for(spec, schema['items']), max_size=3),
                'object': st.dictionaries(st.text(max_size=4), JSON, max_size=2), 'string': st.one_of(NAMES, IDS)}.get(schema.get('type'), JSON)
    return st.one_of(good, good, good, JSON)


def body_for(spec, schema):
    if 'properties' not in schema:
        return value_for(spec, schema)
    fields = {k: value_for(spec, v) for k, v in schema['properties'].items()}
    required = {k: fields[k] for k in schema.get('required', [])}
    return st.one_of(st.fixed_dictionaries(required, optional={k: v for k, v in fields.items() if k not in required}), JSON)


def requests_for(spec, method, path, operation):
    parts = {}
    for p in operation['parameters']:
        values = {'task_id': IDS, 'task_version': st.one_of(st.integers(0, 3), NAMES)}.get(p['name'], value_for(spec, p['schema']))
        values = values if p['in'] == 'query' or p['name'] != 'queue_name' else NAMES
        parts[(p['in'], p['name'])] = values if p['in'] == 'path' else st.one_of(st.none(), st.none(), values)
    body = operation.get('requestBody')
    parts['body'] = st.none() if not body else st.one_of(
        body_for(spec, spec['components']['schemas'][body['content']['application/json']['schema']['$ref'].rsplit('/', 1)[1]]), JSON,
        st.sampled_from([b'{', b'', b'\xff', b'[' * 40])) if body else st.none()
    return st.tuples(st.just((method, path, operation)), st.fixed_dictionaries(parts))


def ask(daemon, drawn):
    (method, path, _), parts = drawn
    query = {}
    for key, value in parts.items():
        if key == 'body' or value is None:
            continue
        where, name = key
        text = value if isinstance(value, str) else json.dumps(value)
        if where == 'path':
            path = path.replace('{%s}' % name, urllib.parse.quote(text, safe='', errors='replace'))
        else:
            query[name] = text.encode(errors='replace')
    if query:
        path += '?' + urllib.parse.urlencode(query)
    body = parts['body']
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return daemon.ask(method, path, body or None)


def test_generated_requests(daemon, spec):
    daemon.put('/queues/q1', {})
    daemon.post('/drain', {'enabled': True})            # starting thousands of tasks is not what this is about
    slow = {'/drain', '/reload', '/backup'}
    strategy = st.one_of(*[requests_for(spec, m, p, o) for m, p, o in operations(spec) if p not in slow])

    @settings(max_examples=1500, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(drawn):
        (method, path, operation), parts = drawn
        answer = ask(daemon, drawn)
        if answer.status == 404 and any(k[0] == 'path' and v == '' for k, v in parts.items() if k != 'body'):
            return                                      # an empty segment is another path
        if answer.status == 404 and any(k[0] == 'path' and '/' in str(v) for k, v in parts.items() if k != 'body'):
            return
        check_answer(spec, operation, answer)

    run()
    assert daemon.get('/health')['status'] == 'ok'
    assert daemon.process.poll() is None
