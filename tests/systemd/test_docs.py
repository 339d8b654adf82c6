"""The documents on a real systemd, from the package, as alice, who was told of nothing else: the tutorial and the README's tour from a fresh
installation, and of the others what they say is for systemd."""
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import Machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))
import book  # noqa: E402


class VmShell(book.Shell):
    def __init__(self, machine):
        self.machine = machine
        environment = "HOME=/home/alice USER=alice LANG=C.UTF-8 TERM=dumb PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        # Both outputs in one pipe there: ssh brings two in no order.
        super().__init__([*machine._ssh(), f"cd /home/alice && exec runuser -u alice -- env -i {environment} bash --noprofile --norc 2>&1"], self.write)

    def write(self, path, text):
        self.machine.write(path.replace("~", "/home/alice"), text, "0755" if text.startswith("#!") else "0644")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Fresh, since what the documents print is what a fresh one has."""
    sudo = tmp_path_factory.mktemp("sudo") / "sudo"
    subprocess.run(["cc", "-O", "-o", sudo, ROOT / "tests" / "docs" / "sudo.c"], check=True)
    m = Machine()
    try:
        m.start()
        m.install()
        m.write("/usr/bin/sudo", sudo.read_bytes(), "4755")
        m.sh("usermod -aG jobbers alice")
        yield m
    finally:
        m.close()


def run(machine, document, wanted):
    shell = VmShell(machine)
    try:
        return book.run(str(ROOT / document), shell, wanted, os.environ.get("UPDATE"), patience=300)
    finally:
        shell.close()


def everything(block):
    return block.mark != "build"


def for_systemd(block):
    return block.mark == "systemd" or block.file


# In this order: the tutorial counts what there is.
@pytest.mark.parametrize("document, wanted", [("docs/TUTORIAL.md", everything), ("README.md", everything), ("docs/OPERATIONS.md", for_systemd),
                                              ("docs/COMING-FROM.md", for_systemd)], ids=lambda x: x if isinstance(x, str) else "")
def test_document(machine, document, wanted):
    assert run(machine, document, wanted) > 0
