"""What the documents say in passing: verbs, options, settings and keys that exist; links that lead somewhere; and no command without a test."""
import glob
import os
import re

import pytest

import book
from test_documents import DOCUMENTS

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
PAGES = ['README.md'] + sorted(os.path.relpath(p, TREE) for p in glob.glob(os.path.join(TREE, 'docs', '*.md')))
# What stands under <!-- build -->, and the suite that does it.
BUILDING = {'./bootstrap demo': 'check-examples', './bootstrap test': 'itself', './bootstrap deb': 'check-systemd', 'sudo apt install ./build/*.deb': 'check-systemd',
            'sudo apt install ./build/jobbers_*.deb': 'check-systemd', 'sudo apt install ./build/jobbers_*.deb ./build/jobbers-examples_*.deb': 'check-systemd'}
# Keys of other programs' files, and words that only look like keys.
OTHER_KEYS = {'OnCalendar', 'Persistent', 'WantedBy', 'Type', 'Restart', 'StartLimitBurst', 'RuntimeMaxSec', 'WatchdogSec', 'SystemMaxUse', 'MAILTO',
              'ConnectionError', 'RuntimeDirectory', 'Timeout', 'RateLimitBurst', 'RateLimitIntervalSec'}


def read(path):
    with open(os.path.join(TREE, path)) as f:
        return f.read()


def names(path, pattern):
    found = set(re.findall(pattern, read(path), re.M))
    assert len(found) > 5, path
    return found


@pytest.mark.parametrize('path', PAGES)
def test_verbs_and_options(path):
    verbs = names('jobbersctl/verbs.def', r'^VERB\(\w+, "([a-z-]+)"')
    options = names('jobbersctl/verbs.def', r'^OPTION\(\w+, "([a-z-]+)"')
    text = read(path)
    code = re.findall(r'(?<!`)`([^`\n]+)`(?!`)', text) + [line for b in book.blocks(text) for line in b.body.splitlines()]
    for line in code:
        for call in re.findall(r'\bjobbersctl ([^|;&)#"`]*)', line):
            words = call.split()
            assert [w for w in words if w.startswith('--') and w[2:].split('=')[0] not in options] == [], line
            verb = next((w for w in words if not w.startswith('-')), None)
            assert verb is None or verb in verbs or verb.isupper(), line


@pytest.mark.parametrize('path', PAGES)
def test_keys(path):
    """`Key=` in text is a key of definitions or of jobbersd.conf."""
    keys = names('jobbersd/model/definition.c', r'^        \{ "(?:Task|Resources)", "(\w+)", ')
    keys |= {''.join(w.capitalize() for w in flag.split('-')) for flag in names('jobbersd/model/settings-table.c', r'^        \{ "([a-z-]+)", ')}
    said = set(re.findall(r'`([A-Z][a-z]\w+)=', read(path)))
    assert said - keys - OTHER_KEYS == set()


@pytest.mark.parametrize('path', PAGES)
def test_links(path):
    for target in re.findall(r'\]\(([^)\s]+)\)', read(path)):
        if '://' in target:
            continue
        file, _, anchor = target.partition('#')
        full = os.path.normpath(os.path.join(TREE, os.path.dirname(path), file)) if file else os.path.join(TREE, path)
        assert os.path.exists(full), target
        if anchor:
            with open(full) as f:
                headings = re.findall(r'^#+ (.*)$', f.read(), re.M)
            assert anchor in [re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in headings], target


def test_every_document_is_run():
    """Blocks are run here, on a real systemd, or they build; API.md has tests/api/test_api_doc.py."""
    for path in PAGES:
        blocks = [b for b in book.blocks(read(path)) if b.language in ('sh', 'console')]
        assert not blocks or path in DOCUMENTS or path == 'docs/API.md', path
        for b in blocks:
            if b.mark == 'build':
                for command in re.split(r'&&|\n', b.body):
                    command = command.split('#')[0].strip()
                    assert not command or command in BUILDING, f'{path}:{b.line}: {command}'


def test_sentences():
    """What the operator's guide says that the programs say, they say: every part of it that does not depend on the case."""
    source = ''
    for path in glob.glob(os.path.join(TREE, 'jobber*', '**', '*.c'), recursive=True):
        with open(path) as f:
            source += re.sub(r'"\s*\n\s*"', '', f.read())
    rows = re.findall(r'^\| (`[^|]* [^|]*`) \|', read('docs/OPERATIONS.md').split('## When something')[1].split('## Exit')[0], re.M)
    parts = [part.strip() for row in rows for sentence in re.findall(r'`([^`]+)`', row) for part in re.split(r'\([A-Z]+\)|[…(]| N\b|\d+\w*\)?|SIG\w+', sentence)]
    parts = [p for p in parts if len(p) > 8]
    assert len(parts) > 12
    assert [p for p in parts if p not in source] == []
