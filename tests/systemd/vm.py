#!/usr/bin/python3
"""A virtual machine: a real Debian 12 with systemd as PID 1, in qemu, without KVM. Its disk is an overlay that goes with it.

`vm.py` as a program boots one and opens a shell in it: `tests/systemd/vm.py [COMMAND]`.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

# Emulation works everywhere; a /dev/kvm inside a virtual machine often is there and does not. KVM is for who knows it works.
ACCELERATOR = os.environ.get("JOBBERS_VM_ACCELERATOR", "tcg,thread=multi")
HERE = pathlib.Path(__file__).resolve().parent


class Failed(Exception):
    """A command inside ended with a status other than 0."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Vm:
    def __init__(self, memory="2G", cpus=2):
        image = subprocess.run([HERE / "image"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        self.image = pathlib.Path(image)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=self.image.parent))
        self.memory, self.cpus = memory, cpus
        self.ssh_port = self.http_port = 0
        self.qemu = None
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self.image / "disk.qcow2", self.work / "disk"], check=True)

    # ── power ──
    def start(self, timeout=600):
        self.ssh_port, self.http_port = free_port(), free_port()
        self.qemu = subprocess.Popen([
            "qemu-system-x86_64", "-accel", ACCELERATOR, "-cpu", "max", "-m", self.memory, "-smp", str(self.cpus),
            "-display", "none", "-serial", f"file:{self.work}/console", "-kernel", self.image / "vmlinuz", "-initrd", self.image / "initrd",
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-drive", f"file={self.work}/disk,if=virtio,format=qcow2,cache=writeback",
            "-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22",
        ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.work / "qemu.err", "wb"))
        self.wait_up(timeout)
        return self

    def wait_up(self, timeout=600, other_boot=None):
        """Until it answers on ssh, with another boot id than the one given."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.qemu.poll() is not None:
                raise Failed("qemu ended: " + (self.work / "qemu.err").read_text())
            try:
                boot = self.sh("cat /proc/sys/kernel/random/boot_id", timeout=15)
                if boot != other_boot:
                    # Through ssh, since what listens in there listens on its loopback.
                    subprocess.run([*self._ssh()[:-1], "-O", "forward", "-L", f"{self.http_port}:127.0.0.1:8000", "root@127.0.0.1"],
                                   capture_output=True, check=True)
                    return boot
            except (Failed, subprocess.SubprocessError):
                pass
            time.sleep(0.2)
        raise Failed("the machine did not come up; console:\n" + (self.work / "console").read_text(errors="replace")[-3000:])

    def cut(self):
        """A power cut: what the guest had not yet written to its disk is gone."""
        self.qemu.kill()
        self.qemu.wait()
        self._forget_connection()

    def poweroff(self):
        """A clean one; returns when it is off."""
        self.sh("systemctl poweroff --no-block", check=False)
        self.qemu.wait(timeout=600)
        self._forget_connection()

    def reboot(self):
        boot = self.sh("cat /proc/sys/kernel/random/boot_id")
        self.sh("systemctl reboot --no-block", check=False)
        self._forget_connection()
        return self.wait_up(900, other_boot=boot)

    def close(self):
        if self.qemu and self.qemu.poll() is None:
            self.cut()
        shutil.rmtree(self.work, ignore_errors=True)

    # ── inside ──
    def _ssh(self, user="root"):
        return ["ssh", "-i", str(self.image / "key"), "-p", str(self.ssh_port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-o", "ControlMaster=auto", "-o", "ControlPersist=yes",
                "-o", f"ControlPath={self.work}/ssh-%r", f"{user}@127.0.0.1"]

    def _forget_connection(self):
        for path in self.work.glob("ssh-*"):
            subprocess.run([*self._ssh()[:-1], "-O", "exit", "root@127.0.0.1"], capture_output=True)
            path.unlink(missing_ok=True)

    def sh(self, command, check=True, timeout=600, stdin=b"", user="root"):
        """What a shell command says on standard output; with check=False (status, output with errors)."""
        done = subprocess.run([*self._ssh(user), command], input=stdin if isinstance(stdin, bytes) else stdin.encode(),
                              capture_output=True, timeout=timeout)
        if not check:
            return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()
        if done.returncode != 0:
            raise Failed(f"{command}\nexit status {done.returncode}\n{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace").strip()

    def write(self, path, text, mode="0644"):
        self.sh(f"install -D -m {mode} /dev/stdin '{path}'", stdin=text)

    def push(self, source, destination):
        data = subprocess.run(["tar", "-C", source.parent, "-cf", "-", source.name], stdout=subprocess.PIPE, check=True).stdout
        self.sh(f"mkdir -p '{destination}' && tar -C '{destination}' -xf -", stdin=data)

    def wait(self, command, timeout=300):
        """Until a command inside succeeds; the loop runs in there."""
        self.sh(f"end=$(($(cut -d. -f1 /proc/uptime) + {timeout})); until {{ {command}; }} >/dev/null 2>&1; do "
                f"[ $(cut -d. -f1 /proc/uptime) -lt $end ] || {{ echo 'gave up waiting' >&2; exit 1; }}; sleep 0.2; done", timeout=timeout + 60)


if __name__ == "__main__":
    machine = Vm()
    try:
        machine.start()
        print(f"http://127.0.0.1:{machine.http_port} is its port 8000, its folder is {machine.work}", file=sys.stderr)
        sys.exit(subprocess.call([*machine._ssh(), "-t", *sys.argv[1:]]))
    finally:
        machine.close()
