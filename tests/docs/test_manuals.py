"""The manual pages: without fault to mandoc, complete against the programs' own tables and help, and referring to what exists."""
import glob
import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get('JOBBERS_BUILD', os.path.join(TREE, 'build'))
PAGES = ['jobbersd.8', 'jobbers-run.1', 'jobbers-task.1', 'jobbersctl.1', 'jobbersd.conf.5', 'jobbers.task.5', 'jobbers.7', 'libjobbers.3']
# Of other packages: of systemd, and of the manual-pages that documents the C library.
OTHERS = {'systemd(1)', 'systemd.syntax(7)', 'systemd.time(7)', 'systemd.slice(5)', 'systemd.resource-control(5)', 'systemd-notify(1)',
          'sd_notify(3)', 'free(3)', 'journald.conf(5)'}


def page(name):
    with open(os.path.join(BUILD, 'man', name)) as f:
        return f.read()


def rendered(name, width=80):
    """As a terminal of that many columns shows it."""
    return subprocess.run(['mandoc', '-T', 'ascii', '-O', f'width={width - 2}', os.path.join(BUILD, 'man', name)], capture_output=True, text=True,
                          check=True, env=dict(os.environ, LC_ALL='C.UTF-8')).stdout.replace('\b', '\0')


def plain(name):
    """Text without over-striking; hyphens are plain."""
    return re.sub(r'.\0', '', rendered(name))


def words(name):
    return re.sub(r'\s+', ' ', plain(name))


def help_of(program, *arguments):
    return subprocess.run([os.path.join(BUILD, program), *arguments, '--help'], capture_output=True, text=True, check=True).stdout


def table(source, pattern):
    with open(os.path.join(TREE, source)) as f:
        found = re.findall(pattern, f.read(), re.M)
    assert len(found) > 5, f'{source} is not what this test knows'
    return found


def test_there_are_these_and_no_others():
    assert sorted(os.path.basename(p) for p in glob.glob(os.path.join(BUILD, 'man', '*'))) == sorted(PAGES)


@pytest.mark.parametrize('name', PAGES)
def test_lint(name):
    said = subprocess.run(['mandoc', '-T', 'lint', os.path.join(BUILD, 'man', name)], capture_output=True, text=True)
    assert (said.stdout + said.stderr, said.returncode) == ('', 0)


@pytest.mark.parametrize('name', PAGES)
def test_fits_a_terminal(name):
    assert [line for line in plain(name).splitlines() if len(line) > 80] == []


@pytest.mark.parametrize('name', PAGES)
def test_see_also(name):
    """Every NAME(N) is a page of ours or one that is known to exist."""
    ours = {f'{p.rsplit(".", 1)[0]}({p.rsplit(".", 1)[1]})' for p in PAGES}
    referred = set(re.findall(r'\b([a-z][\w.-]*\([1-8]\))', words(name)))
    assert referred and referred - ours - OTHERS == set()
    with open(os.path.join(TREE, 'packaging', 'man', name + '.in')) as f:
        assert '.SH SEE ALSO' in f.read()


@pytest.mark.parametrize('program, name', [('jobbersd', 'jobbersd.8'), ('jobbers-run', 'jobbers-run.1'), ('jobbers-task', 'jobbers-task.1'), ('jobbersctl', 'jobbersctl.1')])
def test_options_of_help(program, name):
    text = words(name)
    options = set(re.findall(r'^ +(?:-\w )?(--[a-z][a-z-]*)', help_of(program), re.M)) | {'--help', '--version'}
    verbs = re.findall(r'^  ([a-z]+(?:-[a-z]+)*) ', help_of(program), re.M)
    assert len(options) > 5 or verbs
    assert [v for v in verbs if f' {v} ' not in text] == []
    assert [o for o in sorted(options) if not re.search(re.escape(o) + r'(?![a-z-])', text)] == []


def test_verbs():
    text = words('jobbersctl.1')
    verbs = table('jobbersctl/verbs.def', r'^VERB\(\w+, "([a-z-]+)"')
    for verb in verbs:
        assert re.search(rf' {verb} ', text), verb
        for option in re.findall(r'^ +(?:-\w )?(--[a-z][a-z-]*)', help_of('jobbersctl', verb), re.M):
            assert option in text, f'{verb} {option}'


def test_settings():
    flags = [f for f in re.findall(r'^  --([a-z-]+)', help_of('jobbersd'), re.M) if f != 'help']
    assert len(flags) == len(table('jobbersd/model/settings-table.c', r'^        \{ "[a-z-]+", '))
    keys = plain('jobbersd.conf.5')
    for flag in flags:
        key = ''.join(w.capitalize() for w in flag.split('-'))
        assert (f'\n       {key}=' in keys) == (flag not in ('config', 'system', 'user')), key


def test_keys_of_definitions():
    text = words('jobbers.task.5')
    for key in table('jobbersd/model/definition.c', r'^        \{ "(?:Task|Resources)", "(\w+)", '):
        assert f' {key}= ' in text, key
    assert '[Parameters]' in text


def test_library():
    """Every function that the library exports, as the header declares it."""
    with open(os.path.join(TREE, 'libjobbers', 'jobbers.h')) as f:
        header = re.sub(r'/\*.*?\*/', '', f.read(), flags=re.S)
    text = words('libjobbers.3')
    exported = table('libjobbers/libjobbers.map', r'^ +(jobbers_\w+);$')
    for function in exported:
        prototype = re.search(rf'^[^#\n]*\b{function}\([^;]*;', header, re.M)[0]
        assert re.sub(r'\s+', ' ', prototype) in text, function
        assert text.count(function) > 1 or function.startswith(('jobbers_json_get', 'jobbers_state', 'jobbers_task_', 'jobbers_client_')), function


def test_library_examples(tmp_path):
    """They compile and link."""
    source = plain('libjobbers.3')
    programs = re.findall(r'^( +#include <jobbers.h>\n +#include.*?^     +\}\n)(?=\n)', source, re.M | re.S)
    assert len(programs) == 2
    for n, text in enumerate(programs):
        path = tmp_path / f'{n}.c'
        path.write_text(text)
        subprocess.run(['cc', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter', '-std=gnu17', f'-I{TREE}/libjobbers', path, '-o', tmp_path / f'{n}',
                        *glob.glob(os.path.join(BUILD, 'libjobbers.so*'))[:1]], check=True)
