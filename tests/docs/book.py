"""A document as a newcomer uses it: its files are written, its commands are pasted into one shell in their order, and what they answer is
held against what is printed below them.

    ```sh        commands; each must succeed, what they print is not looked at
    ```console   "$ command" (continued by a backslash, or up to the END of a here-document) and what it prints
    `/path`:     and below it a listing in any language: the file of that name; executable when it begins with #!

In what is printed "…" stands for anything, a line of its own for any lines. Times, durations, sizes, ids and blanks are compared by form.
A comment before a block says what is special:  <!-- systemd -->  only on a real systemd (tests/systemd/test_docs.py);
<!-- build -->  the commands that build and install, which other suites are made of;  <!-- once $id is STATE -->  the reader has seen that.

UPDATE=1 writes the answers that are not as printed into the document, UPDATE=all every one.
"""
import os
import re
import select
import subprocess
import sys
import time

FENCE = re.compile(r'(?:^(?P<lead>[^\n]+)\n(?:[ \t]*\n)?)?^```(?P<language>\w*)\n(?P<body>.*?)^```$', re.S | re.M)
MARK = re.compile(r'<!-- (systemd|build) -->')
ONCE = re.compile(r'<!-- once (\$\w+) is (\w+) -->')
FILE = re.compile(r'.*`(~?/[^`\s]+)`:$')
LANGUAGES = {'sh', 'console', 'bash', 'ini', 'python', 'c', 'js', 'yaml', 'json', 'text', 'mermaid', ''}


class Block:
    def __init__(self, text, m):
        lead = m['lead'] or ''
        self.language, self.body = m['language'], m['body']
        self.start, self.end = m.start('body'), m.end('body')
        self.line = text.count('\n', 0, self.start) + 1
        self.mark = MARK.search(lead)[1] if MARK.search(lead) else None
        self.once = ONCE.search(lead)
        self.file = FILE.match(lead)[1] if self.language not in ('sh', 'console') and FILE.match(lead) else None
        assert self.language in LANGUAGES, f'line {self.line}: what is ```{self.language}?'

    @property
    def runs(self):
        return self.language in ('sh', 'console') or self.file

    def transcript(self):
        """[(command, printed)] of a console block."""
        found, lines = [], self.body.splitlines()
        while lines:
            line = lines.pop(0)
            if not line.startswith('$ '):
                assert found, f'line {self.line}: a console block begins with "$ "'
                found[-1][1].append(line)
                continue
            command = [line[2:]]
            here = re.search(r"<<-?'?(\w+)'?", line)
            while (here and command[-1] != here[1]) or (not here and command[-1].endswith('\\')):
                command.append(lines.pop(0))
            found.append(('\n'.join(command), []))
        return found


def blocks(text):
    return [Block(text, m) for m in FENCE.finditer(text)]


def form(line):
    """What stays the same from run to run."""
    line = re.sub(r'\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)', 'TIME', line)
    line = re.sub(r'\b((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( [A-Z]{2,5}\b)?', 'TIME', line)
    line = re.sub(r'\b((Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d+ )?\d\d:\d\d(:\d\d(\.\d+)?)?\b', 'TIME', line)
    line = re.sub(r'\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b', 'ID', line)
    line = re.sub(r'\b\d+(\.\d+)?(us|µs|ms|s|min|h|d)\b', 'SPAN', line)
    line = re.sub(r'SPAN(\s+SPAN)+', 'SPAN', line)         # "1min 2s" is one of them, and where columns stand close nobody can tell
    line = re.sub(r'\b\d+(\.\d+)?( [KMG]i?)?[KMGB]\b', 'SIZE', line)
    line = re.sub(r'"(cpu_usec|memory_peak|io_read|io_write|oom_kills|pids_peak|pid)": ?(\d+|null)', r'"\1": N', line)
    line = re.sub(r'\b(pid|PID):? \d+', r'\1 N', line)
    line = re.sub(r'-{3,}|─+', '---', line)
    return re.sub(r'[ \t]+', ' ', line).strip()


def agrees(documented, real, in_order=True):
    """True when the printed lines are what was documented."""
    if not in_order and '…' not in documented:
        documented, real = sorted(documented, key=form), sorted(real, key=form)
    pattern = []
    for line in documented:
        if line.strip() == '…':
            pattern.append(r'(?:.*\n)*?')
        else:
            pattern.append(re.escape(form(line)).replace('…', '.*') + r'\n')
    return re.fullmatch(''.join(pattern), ''.join(form(line) + '\n' for line in real)) is not None


class Shell:
    """One bash for a whole document. `argv` starts it; it reads commands from its standard input."""

    # Without a journal a task's log does not tell its attempts apart, so that lines about them stand elsewhere than with one.
    has_journal = True

    def __init__(self, argv, write_file):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.write_file = write_file
        self.buffer, self.n = b'', 0

    def run(self, commands, strict, patience=120):
        """(status, what was printed). With `strict` the first command that fails ends it."""
        self.n += 1
        end = f'jobbers-docs-{self.n}-{os.getpid()}'
        trap = "trap 'failed=$?; trap - ERR; echo \"status $failed: $BASH_COMMAND\"; failed=1' ERR\n" if strict else ''
        text = f'failed=\n{trap}{restore(strict)}{commands}\nstatus=$?; trap - ERR\nprintf "%s %s %s\\n" {end} "$status" "$failed"\n(exit $status)\n'
        # In braces, so that it is read before it is run: what a command reads from standard input is not the rest of the script.
        self.process.stdin.write(('{\n' + text + '} </dev/null\n').encode())
        self.process.stdin.flush()
        deadline = time.monotonic() + patience
        while True:
            m = re.search(rb'%s (\d+) (\d*)\n' % end.encode(), self.buffer)
            if m:
                out, self.buffer = self.buffer[:m.start()].decode(errors='replace'), self.buffer[m.end():]
                return int(m[1]) or int(m[2] or 0), out
            left = deadline - time.monotonic()
            assert left > 0, f'no end in {patience} s:\n{commands}\n{self.buffer.decode(errors="replace")}'
            if select.select([self.process.stdout], [], [], left)[0]:
                data = self.process.stdout.read()
                assert data, f'the shell ended:\n{commands}\n{self.buffer.decode(errors="replace")}'
                self.buffer += data

    def close(self):
        self.process.stdin.close()
        return self.process.wait(60)


def restore(strict):
    """`echo $?` in a transcript is the status of the command before it."""
    return '' if strict else '(exit ${status:-0})\n'


def run(path, shell, wanted=lambda block: block.mark is None, update='', patience=120):
    """Runs the document's blocks that are wanted; the first that is not as printed is an AssertionError. Returns how many commands ran."""
    with open(path) as f:
        text = f.read()
    name, n, pieces, done = os.path.basename(path), 0, [], 0
    for b in blocks(text):
        if not b.runs or not wanted(b):
            continue
        if b.once:
            status, out = shell.run(f'until jobbersctl status {b.once[1]} | grep -q "State: {b.once[2]}"; do sleep 0.1; done', strict=True, patience=patience)
            assert status == 0, f'{name}:{b.line}: {out}'
        if b.file:
            shell.write_file(b.file, b.body)
        elif b.language == 'sh':
            status, out = shell.run(b.body, strict=True, patience=patience)
            assert status == 0, f'{name}:{b.line}: this failed:\n{b.body}\n{out}'
        else:
            new = []
            for command, documented in b.transcript():
                _, out = shell.run(command, strict=False, patience=patience)
                real = out.splitlines()
                if not shell.has_journal:       # nor is there a systemd, then, in whose units tasks could run
                    documented = [line for line in documented if not line.startswith('      Unit: ')]
                # What a task prints and what jobbers-run tells of its status come to a terminal on two ways.
                unordered = r'jobbers-run' if shell.has_journal else r'jobbers-run|jobbersctl (logs|status)'
                if update == 'all' or not agrees(documented, real, not re.search(unordered, command)):
                    assert update, (f'{name}:{b.line}: $ {command}\n── documented\n' + '\n'.join(documented) + '\n── printed\n' + out)
                    documented = real
                new += ['$ ' + command] + documented
                n += 1
            if update:
                pieces += [text[done:b.start], '\n'.join(new) + '\n']
                done = b.end
        n += b.language == 'sh'
        print(f'{name}:{b.line}: ok', file=sys.stderr)
    if update:
        with open(path, 'w') as f:
            f.write(''.join(pieces) + text[done:])
    return n
