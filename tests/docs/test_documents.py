"""The documents are true: every command in them runs, in order, in a host of its own (see `host`), as ann, who knows nothing else."""
import os
import shutil
import subprocess

import pytest

import book

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
DOCUMENTS = ['README.md', 'docs/TUTORIAL.md', 'docs/TASKS.md', 'docs/OPERATIONS.md', 'docs/COMING-FROM.md']
CAN = os.geteuid() == 0 and subprocess.run(['unshare', '--mount', '--net', '--pid', '--fork', 'mount', '-t', 'tmpfs', 'x', '/mnt'],
                                           capture_output=True).returncode == 0

# Run by ann, with nothing of this environment. bash reads a pipe byte by byte, so that a block is run when it is there.
ANN = ['setpriv', '--reuid=ann', '--regid=ann', '--init-groups', 'env', '-i', 'HOME=/home/ann', 'USER=ann', 'LANG=C.UTF-8', 'TERM=dumb',
       'PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'bash', '--noprofile', '--norc']


class HostShell(book.Shell):
    has_journal = False

    def __init__(self):
        super().__init__([os.path.join(HERE, 'host'), TREE, *ANN], self.write)
        status, out = self.run('cd ~/jobbers', strict=True)
        assert status == 0, out

    def write(self, path, text):
        path = path.replace('~', '/home/ann')
        mode = '0755' if text.startswith('#!') else '0644'
        end = 'END-OF-LISTING'
        assert end not in text
        sudo = '' if path.startswith('/home/ann') else 'sudo '
        status, out = self.run(f"{sudo}install -D -m {mode} /dev/stdin {path} <<'{end}'\n{text}{end}", strict=True)
        assert status == 0, out


@pytest.mark.parametrize('document', DOCUMENTS)
def test_document(document):
    if not CAN:
        pytest.skip('a host to throw away takes root and the right to make name spaces')
    shell = HostShell()
    try:
        assert book.run(os.path.join(TREE, document), shell, update=os.environ.get('UPDATE')) > 0
    finally:
        status = shell.close()
    assert status == 0, f'the host ended with status {status}'
