"""HTTP as such: who may call, shapes, limits, paging, waiting, and clients that misbehave (SPEC 7)."""
import http.client
import json
import os
import select
import socket
import stat
import threading
import time

import pytest

from harness import until

BAD_ID = 'not-a-ulid'
NO_ID = '01JBKR2E5F3G4H5J6K718M9N0P'


class Tcp:
    """Raw HTTP over TCP: full control of headers."""

    def __init__(self, daemon, **connect):
        self.daemon = daemon
        self.connection = http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=20, **connect)

    def ask(self, method, path, body=None, token=True, **headers):
        headers = {k.replace('_', '-'): v for k, v in headers.items()}
        if token:
            headers['Authorization'] = f'Bearer {self.daemon.token if token is True else token}'
        self.connection.request(method, path, body, headers)
        r = self.connection.getresponse()
        r.body = r.read()
        return r


def raw(daemon, data, unix=False):
    s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    s.settimeout(20)
    s.connect(daemon.socket_path if unix else ('127.0.0.1', daemon.port))
    s.sendall(data)
    return s


def read_to_end(s):
    data = b''
    while True:
        piece = s.recv(65536)
        if not piece:
            return data
        data += piece


def error(answer, status):
    assert answer.status == status, answer
    assert set(answer.json) <= {'detail', 'errors'} and isinstance(answer.json['detail'], str) and answer.json['detail']
    return answer.json


# ── who may call ──

def test_token(daemon):
    tcp = Tcp(daemon)
    assert tcp.ask('GET', '/queues').status == 200
    for token in (None, 'wrong', daemon.token + 'x', daemon.token[:-1]):
        r = tcp.ask('GET', '/queues', token=token)
        assert r.status == 401 and r.headers['WWW-Authenticate'] == 'Bearer' and json.loads(r.body)['detail']
    assert tcp.ask('GET', '/no/such/path', token=None).status == 401       # a stranger learns nothing
    assert tcp.ask('GET', '/health', token=None).status == 200
    assert tcp.ask('GET', '/queues', token=None, Authorization=f'bearer  {daemon.token}').status == 200
    assert daemon.ask('GET', '/queues').status == 200                      # the socket asks for none


def test_token_file(daemon):
    st = os.stat(daemon.path('token'))
    assert stat.S_IMODE(st.st_mode) == (0o640 if daemon.mode == 'system' else 0o600)
    before = daemon.token
    assert len(before) >= 32
    daemon.restart()
    assert daemon.token == before


def test_socket_is_for_the_group(daemon):
    import grp
    st = os.stat(daemon.socket_path)
    if daemon.mode == 'system':
        assert stat.S_IMODE(st.st_mode) == 0o660 and st.st_uid == 0 and st.st_gid == grp.getgrnam('jobbers').gr_gid
    else:
        assert stat.S_IMODE(st.st_mode) == 0o600


def test_host(daemon):
    tcp = Tcp(daemon)
    for host in ('localhost', f'localhost:{daemon.port}', '127.0.0.1', f'127.0.0.1:{daemon.port}'):
        assert tcp.ask('GET', '/queues', Host=host).status == 200, host
    for host in ('evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '127.0.0.2', '', '[::1', 'localhost@evil'):
        assert tcp.ask('GET', '/health', Host=host).status in (400, 403), host
    s = raw(daemon, b'GET /health HTTP/1.0\r\n\r\n')
    assert b' 403 ' in read_to_end(s).split(b'\r\n')[0]
    assert daemon.ask('GET', '/queues', headers={'Host': 'anything.example'}).status == 200        # Unix: any


def test_allowed_host_and_origin(make_daemon):
    d = make_daemon(allow_host=['jobs.example', 'other.example:443'], allow_origin=['https://ui.example']).start()
    tcp = Tcp(d)
    assert tcp.ask('GET', '/queues', Host='jobs.example:8443').status == 200
    assert tcp.ask('GET', '/queues', Host='other.example:443').status == 200
    assert tcp.ask('GET', '/queues', Host='other.example:444').status == 403
    r = tcp.ask('GET', '/queues', Origin='https://ui.example')
    assert r.status == 200 and r.headers['Access-Control-Allow-Origin'] == 'https://ui.example'
    assert tcp.ask('GET', '/queues', Origin='https://ui.example.evil').status == 403
    r = tcp.ask('OPTIONS', '/submit-task', token=None, Origin='https://ui.example', Access_Control_Request_Method='POST')
    assert r.status == 204 and 'POST' in r.headers['Access-Control-Allow-Methods']
    assert tcp.ask('OPTIONS', '/submit-task', token=None, Origin='https://x.example', Access_Control_Request_Method='POST').status == 403


def test_origin(daemon):
    tcp = Tcp(daemon)
    for origin in ('https://evil.example', 'null', f'http://127.0.0.1:{daemon.port}'):
        assert tcp.ask('GET', '/queues', Origin=origin).status == 403, origin
    assert daemon.ask('GET', '/queues', headers={'Origin': 'https://evil.example'}).status == 200


def test_content_type(daemon):
    for kind in ('text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', ''):
        a = daemon.ask('POST', '/submit-task', b'{"name": "ok", "version": 1}', headers={'Content-Type': kind})
        error(a, 415)
    for kind in ('application/json', 'Application/JSON; charset=utf-8'):
        assert daemon.ask('POST', '/submit-task', b'{"name": "ok", "version": 1}', headers={'Content-Type': kind}).status == 200
    c = daemon.connection()
    c.request('POST', f'/task/{NO_ID}/cancel')                      # nothing sent, nothing to announce
    assert c.getresponse().status == 404


@pytest.mark.modes('system')
def test_no_auth_is_refused_for_root(make_daemon):
    d = make_daemon(no_auth=True)
    assert d.start_refused() != 0
    assert '--no-auth is refused for root' in d.log()


@pytest.mark.modes('user')
def test_no_auth(make_daemon):
    d = make_daemon(no_auth=True).start()
    assert Tcp(d).ask('GET', '/queues', token=None).status == 200
    assert Tcp(d).ask('GET', '/queues', token=None, Host='evil.example').status == 403
    assert '--no-auth: every process on this host may use the API' in d.log()
    open_one = make_daemon(no_auth=True, listen=['0.0.0.0:0'])
    assert open_one.start_refused() != 0
    assert 'can be reached from other hosts' in open_one.log()


def test_not_loopback_warns(make_daemon):
    d = make_daemon()
    d.set(listen=['0.0.0.0:0', 'unix:' + d.path('s')])
    d.start()
    assert 'put a TLS proxy in front of it' in d.log()


# ── addresses ──

def test_stale_socket_is_replaced_and_a_living_one_is_not(daemon, make_daemon):
    daemon.kill9()
    assert os.path.exists(daemon.socket_path)
    daemon.start()
    assert daemon.get('/health')['status'] in ('ok', 'starting')
    other = make_daemon()
    other.set(listen=['unix:' + daemon.socket_path])
    assert other.start_refused() != 0
    assert 'another process serves it' in other.log()
    assert daemon.get('/health')
    with open(other.path('data', 'file'), 'w') as f:
        f.write('x')
    other.set(listen=['unix:' + other.path('data', 'file')])
    assert other.start_refused() != 0
    assert open(other.path('data', 'file')).read() == 'x'
    assert f'cannot listen on {other.path("data", "file")}: there is a file that is not a socket; move it away' in other.log()


@pytest.mark.parametrize('address', ['127.0.0.1', ':', '::1:80', '127.0.0.1:99999', 'unix:relative', '[::1:8', 'host.invalid:1'])
def test_bad_addresses(make_daemon, address):
    d = make_daemon(listen=[address])
    assert d.start_refused() != 0
    assert d.log().strip()


def test_several_addresses(make_daemon):
    d = make_daemon()
    d.set(listen=['127.0.0.1:0', '127.0.0.2:0', 'unix:' + d.path('s'), 'unix:' + d.path('run', 's2')])
    d.start()
    text = d.log()
    assert '127.0.0.2:' in text and d.path('run', 's2') in text
    port = int(text.split('127.0.0.2:')[1].split(',')[0])
    c = http.client.HTTPConnection('127.0.0.2', port, timeout=20)
    c.request('GET', '/health')
    assert c.getresponse().status == 200


# ── shapes ──

def test_paths_and_methods(daemon):
    error(daemon.ask('GET', '/nothing'), 404)
    error(daemon.ask('GET', '/task-status/'), 404)
    error(daemon.ask('GET', '//queues'), 404)
    error(daemon.ask('GET', '/health%00x'), 404)
    a = daemon.ask('DELETE', '/submit-task')
    error(a, 405)
    assert a.headers['Allow'] == 'POST'
    a = daemon.ask('PATCH', '/queues/default')
    assert set(a.headers['Allow'].split(', ')) == {'GET', 'HEAD', 'POST', 'PUT', 'DELETE'}
    c = daemon.connection()
    c.request('HEAD', '/health')
    r = c.getresponse()
    assert r.status == 200 and r.read() == b'' and int(r.headers['Content-Length']) > 0


@pytest.mark.parametrize('body', [b'{', b'{"name": }', b'{"name": "ok"} x', b'\xff\xfe', b'{"name": "\xff"}', b'{"a": 1e999}', b"{'name': 'ok'}",
                                  b'{"a": 99999999999999999999}', b'[' * 33 + b']' * 33, b'{"a":' * 40 + b'1' + b'}' * 40, b'[' * 100000], ids=range(11))
def test_malformed_json(daemon, body):
    error(daemon.ask('POST', '/submit-task', body), 400)


def test_json_that_is_not_taken_is_named(daemon):
    for text, sentence in ((b'"\\u0000"', 'a text in the body has a NUL character (\\u0000), which is not supported (line 1)'),
                           (b'[\n99999999999999999999]', 'a number in the body is beyond 64 bits (line 2)')):
        body = b'{"name": "ok", "version": 1, "parameters": {"a": ' + text + b'}}'
        assert error(daemon.ask('POST', '/submit-task', body), 400)['detail'] == sentence


def test_depth_32_is_fine(daemon):
    nested = {}
    for _ in range(30):
        nested = {'a': nested}
    assert daemon.post('/submit-task', {'name': 'ok', 'version': 1, 'parameters': nested})      # 32 with the body
    error(daemon.ask('POST', '/submit-task', {'name': 'ok', 'version': 1, 'parameters': {'a': nested}}), 400)


@pytest.mark.parametrize('body, field', [
    ({}, 'name'), ({'name': None}, 'name'), ({'name': 3}, 'name'), ({'name': 'a b'}, 'name'), ({'name': ''}, 'name'), ({'name': 'x' * 65}, 'name'),
    ({'name': 'ok', 'version': '1'}, 'version'), ({'name': 'ok', 'version': -1}, 'version'), ({'name': 'ok', 'version': 1.5}, 'version'),
    ({'name': 'ok', 'version': 2**40}, 'version'), ({'name': 'ok', 'version': True}, 'version'),
    ({'name': 'ok', 'parameters': []}, 'parameters'), ({'name': 'ok', 'parameters': None}, 'parameters'),
    ({'name': 'ok', 'priority': 101}, 'priority'), ({'name': 'ok', 'priority': -101}, 'priority'), ({'name': 'ok', 'id': BAD_ID}, 'id'),
    ({'name': 'ok', 'id': 5}, 'id'), ({'name': 'ok', 'id': '8' + NO_ID[1:]}, 'id'), ({'name': 'ok', 'queue': 7}, 'queue'),
    ({'name': 'ok', 'dag_callbacks': [{}]}, 'dag_callbacks'), ({'name': 'ok', 'parent_ids': [NO_ID]}, 'parent_ids'),
    ({'name': 'ok', 'inject_parent_results': True}, 'inject_parent_results'), ([], 'body'), (None, 'body'), (3, 'body'), ('x', 'body')])
def test_wrong_shape(daemon, body, field):
    e = error(daemon.ask('POST', '/submit-task', json.dumps(body).encode()), 422)
    assert field in e['detail']
    assert e['errors'][0]['loc'][-1] == field and e['errors'][0]['msg']
    s = error(daemon.ask('POST', '/schedule-task', {'task': body, 'run_at': '2030-01-01T00:00:00Z'}), 422)
    assert (field if field != 'body' else 'task') in s['detail']


def test_all_faults_are_named_at_once(daemon):
    e = error(daemon.ask('POST', '/submit-task', {'name': 3, 'version': 'x', 'priority': 1000}), 422)
    assert {x['loc'][-1] for x in e['errors']} == {'name', 'version', 'priority'}


def test_missing_body(daemon):
    error(daemon.ask('POST', '/submit-task'), 422)
    error(daemon.ask('PUT', '/queues/q'), 422)


def test_unknown_names(daemon):
    daemon.define('ok2', 'exit 0', version=7)
    daemon.reload()
    d = error(daemon.ask('POST', '/submit-task', {'name': 'ok', 'version': 2}), 400)['detail']
    assert 'unknown task' in d and '1' in d
    d = error(daemon.ask('POST', '/submit-task', {'name': 'ok2'}), 400)['detail']        # version is 0 then
    assert 'unknown task' in d and '7' in d
    d = error(daemon.ask('POST', '/submit-task', {'name': 'oc'}), 400)['detail']
    assert d == 'there is no task "oc". Did you mean "ok" version 1, "ok2" version 7?'
    d = error(daemon.ask('POST', '/submit-task', {'name': 'something-else'}), 400)['detail']
    assert d == 'there is no task "something-else": no definition of that name is installed'
    d = error(daemon.ask('POST', '/submit-task', {'name': 'something-else', 'version': 0}), 400)['detail']
    assert d.startswith('unknown task "something-else" version 0: ')
    assert 'nope' in error(daemon.ask('POST', '/submit-task', {'name': 'ok', 'version': 1, 'queue': 'nope'}), 400)['detail']


def test_server_owned_fields_are_ignored(daemon):
    body = {'name': 'hold', 'version': 1, 'status': 'completed', 'results': {'x': 1}, 'errors': ['e'], 'retry_attempt': 7, 'submitted_at': 'x',
            'started_at': 5, 'task_config': {}, 'unknown': [], 'dag_callbacks': [], 'parent_ids': None, 'inject_parent_results': False}
    t = daemon.post('/submit-task', body)['task']
    assert t['retry_attempt'] == 0 and t['status'] in ('submitted', 'started')
    assert daemon.status(t['id'])['results'] == {}
    daemon.box.line()
    daemon.gate.open()
    daemon.wait_final(t['id'])


@pytest.mark.parametrize('method, path', [('GET', '/task-status/%s'), ('POST', '/task/%s/cancel'), ('POST', '/task/%s/resubmit'),
                                          ('GET', '/task/%s/logs'), ('GET', '/dead-letter-queue/%s/history')])
def test_ids_in_paths(daemon, method, path):
    assert 'task_id' in error(daemon.ask(method, path % BAD_ID), 422)['detail']
    assert NO_ID in error(daemon.ask(method, path % NO_ID), 404)['detail']
    assert NO_ID in error(daemon.ask(method, path % NO_ID.replace('0', 'o').replace('1', 'l').lower()), 404)['detail']


@pytest.mark.parametrize('query', ['limit=0', 'limit=1001', 'limit=x', 'offset=-1', 'status=nope', 'order_by=x', 'task_version=x', 'start=x',
                                   'cursor=x', 'cursor=i5', 'queue=a%20b', 'limit=', 'limit=1e3'])
def test_query_ranges(daemon, query):
    e = error(daemon.ask('GET', '/task-list?' + query), 422)
    assert query.split('=')[0] in e['detail'] and e['errors'][0]['loc'][0] == 'query'


# ── limits ──

def test_body_limit(make_daemon):
    d = make_daemon(max_body='10K')
    d.define('ok', 'exit 0')
    d.start()
    small = {'name': 'ok', 'version': 1, 'parameters': {'a': 'x' * 5000}}
    assert d.post('/submit-task', small)
    error(d.ask('POST', '/submit-task', dict(small, parameters={'a': 'x' * 20000})), 413)
    error(d.ask('POST', '/submit-task', dict(small, parameters={'a': 'x' * 5000000})), 413)      # and the answer is seen
    s = raw(d, b'POST /submit-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n', unix=True)
    for _ in range(20):
        s.sendall(b'400\r\n' + b' ' * 1024 + b'\r\n')
    s.sendall(b'0\r\n\r\n')
    assert b' 413 ' in s.recv(1000).split(b'\r\n')[0]
    # a client that asks first is told before it sends
    s = raw(d, b'POST /submit-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n',
            unix=True)
    assert b' 413 ' in s.recv(1000).split(b'\r\n')[0]


def test_chunked_body(daemon):
    body = json.dumps({'name': 'ok', 'version': 1}).encode()
    s = raw(daemon, b'POST /submit-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n', unix=True)
    for byte in body:
        s.sendall(b'1\r\n' + bytes([byte]) + b'\r\n')
    s.sendall(b'0\r\n\r\n')
    assert b' 200 ' in s.recv(1000).split(b'\r\n')[0]


def test_slow_headers_are_cut_off(make_daemon):
    """A byte now and then does not keep a connection: the deadline is absolute."""
    d = make_daemon(header_timeout='1s', request_timeout='1s')
    d.start()
    s = raw(d, b'GET /health HTTP/1.1\r\n')
    begin = time.monotonic()
    try:
        while not select.select([s], [], [], 0.1)[0]:
            s.sendall(b'X')
        assert s.recv(1000) == b''
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert 0.8 < time.monotonic() - begin < 5


def test_slow_bodies_are_cut_off(make_daemon):
    d = make_daemon(header_timeout='1s', request_timeout='1s')
    d.start()
    s = raw(d, b'POST /submit-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n', unix=True)
    begin = time.monotonic()
    try:
        while not select.select([s], [], [], 0.1)[0]:
            s.sendall(b' ')
        assert s.recv(1000) == b''
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert 0.8 < time.monotonic() - begin < 5
    assert d.get('/health')


def test_idle_connections_lock_nobody_out(make_daemon):
    d = make_daemon(max_connections=50).start()
    idle = [raw(d, b'') for _ in range(200)]
    tcp = Tcp(d)
    assert tcp.ask('GET', '/health', token=None).status == 200
    kept = [Tcp(d) for _ in range(60)]
    for t in kept:
        assert t.ask('GET', '/queues').status == 200
    assert d.get('/queues')                                         # the socket has places of its own
    closed = sum(1 for s in idle if select.select([s], [], [], 0)[0])
    assert closed >= 150                                            # the longest idle ones made room
    assert kept[-1].ask('GET', '/queues').status == 200


def test_busy_connections_are_waited_for(make_daemon):
    """All places taken by requests that are on their way: the next one waits for a place rather than being dropped."""
    d = make_daemon(max_connections=4, request_timeout='2s').start()
    slow = [raw(d, b'POST /submit-task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n'
                + b'') for _ in range(4)]
    assert Tcp(d).ask('GET', '/health', token=None).status == 200
    for s in slow:
        s.close()


@pytest.mark.parametrize('n', [127, 128, 129])
def test_exactly_128_busy_connections(daemon, n):
    """libmicrohttpd's own loop stalls with 128."""
    connections = [http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=20) for _ in range(n)]
    headers = {'Content-Type': 'application/json', 'Authorization': f'Bearer {daemon.token}'}
    begin = time.monotonic()
    for turn in range(5):
        for c in connections:
            c.request('POST', '/submit-task', json.dumps({'name': 'ok', 'version': 99}), headers)
        for c in connections:
            r = c.getresponse()
            assert r.status == 400 and r.read()
    assert time.monotonic() - begin < 10


def test_pipelined_requests(daemon):
    s = raw(daemon, b'GET /health HTTP/1.1\r\nHost: x\r\n\r\n' * 50 + b'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', unix=True)
    assert read_to_end(s).count(b'HTTP/1.1 200 OK') == 51


# ── waiting ──

def test_wait_answers_at_the_end(daemon):
    task_id = daemon.submit('hold')
    daemon.box.line()
    got = []
    c = daemon.connection()
    t = threading.Thread(target=lambda: (c.request('GET', f'/task-status/{task_id}?wait=60'), got.append(json.load(c.getresponse()))))
    t.start()
    assert daemon.get(f'/task-status/{task_id}', wait=0.05)['status'] == 'started'        # others are not held up; deadlines end waits
    daemon.gate.open()
    t.join(20)
    assert got and got[0]['status'] == 'completed'
    error(daemon.ask('GET', f'/task-status/{task_id}?wait=61'), 422)
    error(daemon.ask('GET', f'/task-status/{task_id}?wait=-1'), 422)


def test_clients_that_leave_while_they_wait(make_daemon):
    d = make_daemon(max_connections=16, slots=4)
    d.define('hold', 'echo start >@BOX@\nread -r x <@GATE@')
    d.start()
    task_id = d.submit('hold')
    d.box.line()
    auth = f'Authorization: Bearer {d.token}\r\n'.encode()
    for path in (b'/task-status/%s?wait=60', b'/task/%s/logs?follow=true'):
        for _ in range(30):
            s = raw(d, b'GET ' + path % task_id.encode() + b' HTTP/1.1\r\nHost: localhost\r\n' + auth + b'\r\n')
            s.close()
    until(lambda: Tcp(d).ask('GET', '/queues').status == 200, 'a place')

    def sockets():
        n = 0
        for descriptor in os.scandir(f'/proc/{d.process.pid}/fd'):
            try:
                n += 'socket:' in os.readlink(descriptor.path)
            except FileNotFoundError:       # closed since
                pass
        return n

    until(lambda: sockets() < 20, 'connections are given up')
    d.gate.open()
    assert d.wait_final(task_id)['status'] == 'completed'


def test_too_many_waiting(make_daemon):
    d = make_daemon(max_connections=8, slots=4)
    d.define('hold', 'echo start >@BOX@\nread -r x <@GATE@')
    d.start()
    task_id = d.submit('hold')
    d.box.line()
    auth = f'Authorization: Bearer {d.token}\r\n'.encode()
    request = b'GET /task-status/' + task_id.encode() + b'?wait=60 HTTP/1.1\r\nHost: localhost\r\n' + auth + b'\r\n'
    waiting = [raw(d, request) for _ in range(6)]
    assert Tcp(d).ask('GET', f'/task-status/{task_id}?wait=60').status == 429
    assert Tcp(d).ask('GET', f'/task-status/{task_id}').status == 200
    d.gate.open()
    for s in waiting:
        assert b'"completed"' in s.recv(65536)


def test_waits_end_with_the_daemon(daemon):
    task_id = daemon.submit('hold')
    daemon.box.line()
    s = raw(daemon, f'GET /task-status/{task_id}?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n'.encode(), unix=True)
    f = raw(daemon, f'GET /task/{task_id}/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n'.encode(), unix=True)
    quiet = raw(daemon, f'GET /task/{task_id}/logs?follow=true&stopping=false HTTP/1.1\r\nHost: x\r\n\r\n'.encode(), unix=True)
    assert b' 200 ' in f.recv(65536) and b' 200 ' in quiet.recv(65536)
    daemon.terminate()
    assert b' 200 ' in s.recv(65536)
    # the text breaks off, without the empty chunk that would be its end: this is not the task's end
    data = read_to_end(f)
    assert data.endswith(b'\n-- jobbersd is stopping; the task has not ended, follow it again later\n\r\n'), data
    assert not read_to_end(quiet).endswith(b'0\r\n\r\n')
    assert daemon.reap() == 0


def test_slow_followers_stall_nobody(daemon):
    daemon.define('flood', 'i=0; while [ $i -lt 300 ]; do head -c 10000 /dev/zero | tr "\\0" x; i=$((i+1)); done')
    daemon.reload()
    task_id = daemon.submit('flood')
    s = raw(daemon, f'GET /task/{task_id}/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n'.encode(), unix=True)      # reads nothing
    begin = time.monotonic()
    assert daemon.wait_final(task_id)['status'] == 'completed'
    for _ in range(20):
        daemon.get('/queues')
    assert time.monotonic() - begin < 15
    resident = int(open(f'/proc/{daemon.process.pid}/statm').read().split()[1]) * 4096
    assert resident < 64 << 20
    data = b''
    while not data.endswith(b'0\r\n\r\n'):
        piece = s.recv(65536)
        assert piece
        data += piece
    assert data.count(b'x') >= 300 * 10000 - 100


# ── submit and lists ──

def test_submit_tasks_is_all_or_nothing(daemon):
    good = [{'name': 'ok', 'version': 1, 'parameters': {'i': i}} for i in range(1000)]
    tasks = daemon.post('/submit-tasks', {'tasks': good})['tasks']
    assert [t['parameters']['i'] for t in tasks] == list(range(1000))
    error(daemon.ask('POST', '/submit-tasks', {'tasks': good + good[:1]}), 422)
    before = len(all_ids(daemon))
    e = error(daemon.ask('POST', '/submit-tasks', {'tasks': good[:5] + [{'name': 'ok', 'version': 77}]}), 400)
    assert 'tasks[5]' in e['detail']
    e = error(daemon.ask('POST', '/submit-tasks', {'tasks': good[:5] + [{'name': 5}]}), 422)
    assert e['errors'][0]['loc'] == ['body', 'tasks', 5, 'name'] and 'tasks[5].name' in e['detail']
    error(daemon.ask('POST', '/submit-tasks', {'tasks': [dict(good[0], id=NO_ID), dict(good[1], id=NO_ID)]}), 409)
    assert len(all_ids(daemon)) == before
    assert daemon.post('/submit-tasks', {'tasks': []})['tasks'] == []


def all_ids(daemon, **query):
    ids, cursor = [], {}
    while True:
        page = daemon.get('/task-list', limit=query.get('limit', 1000), **{k: v for k, v in query.items() if k != 'limit'}, **cursor)
        ids += [t['id'] for t in page['tasks']]
        if 'next' not in page:
            return ids
        cursor = {'cursor': page['next']}


def test_pages_have_no_gap_and_no_repeat(daemon):
    daemon.post('/drain', {'enabled': True})
    daemon.post('/queues', {'name': 'other'}, status=201)
    mine = [t['id'] for t in daemon.post('/submit-tasks', {'tasks': [{'name': 'ok', 'version': 1} for _ in range(250)]})['tasks']]
    for order in ('submitted_at', 'task_id', '-submitted_at'):
        seen, cursor = [], {}
        while True:
            page = daemon.get('/task-list', limit=7, order_by=order, queue='default', **cursor)
            assert len(page['tasks']) <= 7
            seen += [t['id'] for t in page['tasks']]
            daemon.submit('ok', queue='other')                       # others come meanwhile
            if 'next' not in page:
                break
            cursor = {'cursor': page['next']}
        assert [i for i in seen if i in set(mine)] == {'submitted_at': mine, 'task_id': sorted(mine), '-submitted_at': mine[::-1]}[order]
        assert len(seen) == len(set(seen))
    page = daemon.get('/task-list', queue='default', limit=250)
    assert len(page['tasks']) == 250 and 'next' not in page          # exactly full is the last one
    assert [t['id'] for t in daemon.get('/task-list', queue='default', limit=5, offset=10)['tasks']] == mine[10:15]
    assert daemon.get('/task-list', queue='default', start=mine[100], order_by='task_id', limit=1)['tasks'][0]['id'] == mine[100]
    # a client that keeps its query and adds the cursor does not skip the offset on every page
    assert all_ids(daemon, queue='default', limit=7, offset=100) == mine[100:]
    newest = daemon.get('/task-list?status=submitted&queue=default&limit=3&offset=1&order_by=-submitted_at')['tasks']
    assert [t['id'] for t in newest] == mine[:-5:-1][1:]
    refused = daemon.get('/task-list', status=422, order_by='-submitted_at', start=mine[0])
    assert 'start' in refused['detail']
    assert len(daemon.get('/task-list')['tasks']) == 50
    daemon.post('/tasks/cancel', {'queue': 'default'})
    daemon.post('/tasks/cancel', {'queue': 'other'})


def test_filters_apply_before_limits(daemon):
    for i in range(5):
        daemon.run('ok')
        daemon.run('fail')
    page = daemon.ask('GET', '/task-list', status='failed', limit=5).json
    assert len(page['tasks']) == 5 and {t['status'] for t in page['tasks']} == {'failed'} and 'next' not in page
    assert len(daemon.get('/task-list', task_name='ok', task_version=1)['tasks']) == 5
    assert daemon.get('/task-list', task_name='ok', task_version=2)['tasks'] == []
    assert daemon.get('/task-list', queue='nope')['tasks'] == []


def test_active_and_scheduled(daemon):
    task_id = daemon.submit('hold')
    daemon.box.line()
    later = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00+02:00'})
    assert later['run_at'] == '2098-12-31T22:00:00.000000Z' and later['task']['status'] == 'scheduled'
    assert [t['id'] for t in daemon.get('/active-tasks')['tasks']] == [task_id]
    tasks = daemon.get('/scheduled-tasks', queue='default')['tasks']
    assert [(t['id'], t['scheduled_at']) for t in tasks] == [(later['task']['id'], later['run_at'])]
    daemon.cancel(later['task']['id'])
    assert daemon.get('/scheduled-tasks')['tasks'] == []
    daemon.gate.open()
    daemon.wait_final(task_id)


def test_whole_record(daemon):
    t = daemon.run('fail', parameters={'ü': '\u0001"\\', 'n': [1, 2.5, None, True]})
    assert set(t) >= {'id', 'name', 'parameters', 'status', 'retry_attempt', 'submitted_at', 'last_error', 'version', 'queue', 'priority', 'results',
                      'errors', 'attempts', 'progress', 'status_text', 'stop_reason', 'scheduled_at', 'started_at', 'retried_at', 'heartbeat_at',
                      'completed_at', 'log', 'scope'}
    assert t['parameters'] == {'ü': '\u0001"\\', 'n': [1, 2.5, None, True]}
    a = t['attempts'][0]
    assert a['attempt'] == 1 and a['exit_status'] == 1 and a['end_reason'] == 'exit' and a['signal'] is None
    assert set(a['resources']) == {'cpu_usec', 'memory_peak', 'io_read', 'io_write', 'oom_kills', 'pids_peak'}
    assert t['errors'] == [a['error']] and t['last_error'] == a['error']
    assert daemon.get(t['log'].replace('/logs', '').replace('/task/', '/task-status/')) == t
    assert daemon.get('/task-list')['tasks'] == [t]
    ok = daemon.run('ok')
    assert ok['last_error'] is None and ok['errors'] == []


def test_many_arguments_are_refused_at_once(daemon):
    """libmicrohttpd forgets to answer where they do not fit into the memory of a connection."""
    for n in (150, 300, 1500):
        error(daemon.ask('GET', '/queues?' + '&'.join(f'a{i}=' for i in range(n))), 414)
    error(daemon.ask('GET', '/queues?a=' + 'x' * 8000 + '&b=' * 200), 414)
    assert daemon.ask('GET', '/queues?' + '&'.join(f'a{i}=' for i in range(100))).status == 200
    assert daemon.ask('GET', '/queues?a=' + 'x' * 8000).status == 200


def test_a_huge_body_is_refused_before_it_is_sent(daemon):
    """More is announced than would be read and thrown away: who waits with it, and who sends it, sees why."""
    head = b'POST /submit-task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n'
    token = f'Authorization: Bearer {daemon.token}\r\n'.encode()
    for length, headers, status in ((100 << 20, token, b'413'), (100 << 20, b'', b'401')):
        data = read_to_end(raw(daemon, head % (length, headers)))
        assert data.split()[1] == status and b'\r\nConnection: close\r\n' in data and b'"detail"' in data
    s = raw(daemon, head % (100 << 20, b''))
    with pytest.raises(OSError):
        while True:
            s.sendall(b'x' * 65536)
    assert s.recv(1000).split()[1] == b'401'


# ── bulk ──

def test_bulk_answers_per_item(daemon):
    daemon.post('/drain', {'enabled': True})
    a, b = daemon.submit('ok'), daemon.submit('ok')
    daemon.cancel(b)
    r = daemon.post('/tasks/cancel', {'task_ids': [a, b, NO_ID, BAD_ID, a.lower()]})
    assert [(x['task_id'], x['status']) for x in r['results']] == [
        (a, 'cancellation_requested'), (b, 'error'), (NO_ID, 'not_found'), (BAD_ID, 'error'), (a, 'error')]
    assert all(('detail' in x) == (x['status'] == 'error') for x in r['results'])
    assert r['matched'] == 1
    error(daemon.ask('POST', '/tasks/cancel', {}), 422)
    error(daemon.ask('POST', '/tasks/cancel', {'task_ids': 'x'}), 422)
    error(daemon.ask('POST', '/tasks/cancel', {'task_ids': [5]}), 422)
    r = daemon.post('/tasks/resubmit', {'task_ids': [a, NO_ID]})
    assert [x['status'] for x in r['results']] == ['resubmitted', 'not_found']
    assert daemon.status(a)['status'] == 'submitted'
    daemon.cancel(a)


def test_dry_run_says_what_the_call_would(daemon):
    daemon.define('gone', 'exit 0')
    daemon.reload()
    running = daemon.submit('hold')
    daemon.box.line()
    daemon.post('/drain', {'enabled': True})
    waiting, ended, other = daemon.submit('ok'), daemon.submit('ok'), daemon.submit('gone')
    daemon.cancel(ended)
    ids = [waiting, waiting.lower(), ended, other, NO_ID, BAD_ID, running, running]
    for verb, matched in (('cancel', 4), ('resubmit', 3)):
        r = daemon.post('/tasks/' + verb, {'task_ids': ids, 'dry_run': True})
        assert r == {'matched': matched, 'results': []}
        r = daemon.post('/tasks/' + verb, {'task_ids': ids})
        assert r['matched'] == matched and len(r['results']) == len(ids)
        assert [x['status'] in ('cancellation_requested', 'resubmitted') for x in r['results']].count(True) == matched
        if verb == 'cancel':
            daemon.wait_final(running)
            os.unlink(daemon.path('tasks.d', 'gone.task'))
            daemon.reload()


def test_bulk_by_filter(daemon):
    daemon.post('/drain', {'enabled': True})
    daemon.post('/queues', {'name': 'other'}, status=201)
    bodies = [{'name': 'ok', 'version': 1, 'queue': 'other' if i % 3 else 'default'} for i in range(900)]
    for _ in range(2):
        daemon.post('/submit-tasks', {'tasks': bodies})
    r = daemon.post('/tasks/cancel', {'queue': 'other', 'dry_run': True})
    assert r['matched'] == 1200 and r['results'] == []
    r = daemon.post('/tasks/cancel', {'queue': 'other'})
    assert r['matched'] == 1200 and len(r['results']) == 1200 and {x['status'] for x in r['results']} == {'cancellation_requested'}
    assert daemon.post('/tasks/cancel', {'queue': 'other', 'dry_run': True})['matched'] == 0
    assert daemon.post('/tasks/cancel', {'queue': 'default', 'dry_run': True})['matched'] == 600
    r = daemon.post('/tasks/resubmit', {'queue': 'other', 'status': 'cancelled', 'limit': 700})
    assert r['matched'] == 1200 and len(r['results']) == 700
    assert daemon.post('/tasks/cancel', {'task_name': 'ok'})['matched'] == 1300
    assert daemon.post('/tasks/cancel', {'status': 'submitted', 'dry_run': True})['matched'] == 0


def test_bulk_means_each_task_once(daemon):
    """Tasks that complete become tasks that fail, while one call that means both is on its way: it does not come back to them."""
    daemon.define('turn', 'test ! -e @DATA@/turned', MaxRetries=0)
    daemon.reload()
    ids = [t['id'] for name, n in (('fail', 600), ('turn', 300))
           for t in daemon.post('/submit-tasks', {'tasks': [{'name': name, 'version': 1}] * n})['tasks']]
    for t in ids:
        daemon.wait_final(t)
    open(daemon.path('data', 'turned'), 'w').close()
    r = daemon.post('/tasks/resubmit', {'queue': 'default'})
    assert r['matched'] == 900 and [x['task_id'] for x in r['results']] == ids
    assert {x['status'] for x in r['results']} == {'resubmitted'}
    for t in ids:
        daemon.wait_final(t)
