"""report.py: the results as a table for the terminal, as the table of docs/PERFORMANCE.md and as a picture."""
import datetime
import html
import os
import platform
import subprocess

from measure import TREE

BEGIN, END = '<!-- table: make bench -->', '<!-- end of table -->'


def machine():
    def read(path, default=''):
        try:
            with open(path) as f:
                return f.read()
        except OSError:
            return default

    model = next((line.split(':', 1)[1].strip() for line in read('/proc/cpuinfo').splitlines() if line.startswith('model name')), platform.machine())
    memory = int(next(line.split()[1] for line in read('/proc/meminfo').splitlines() if line.startswith('MemTotal'))) / 1048576
    system = next((line.split('=', 1)[1].strip('"') for line in read('/etc/os-release').splitlines() if line.startswith('PRETTY_NAME')), '?')
    commit = subprocess.run(['git', '-C', TREE, 'describe', '--always', '--dirty'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%F %H:%M UTC'),
        'commit': commit or '?',
        'machine': f'{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}, {system}',
        'load': '%.1f' % os.getloadavg()[0],
    }


def number(x):
    if x is None:
        return '–'
    if abs(x) >= 1000:
        return f'{x:,.0f}'
    if abs(x) >= 100 or x == int(x):
        return f'{x:.0f}'
    return f'{x:.1f}' if abs(x) >= 10 else f'{x:.2f}'


def spread(values):
    values = sorted(v for v in values if v is not None)
    if not values:
        return '–'
    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return number(middle) if len(values) == 1 else f'{number(values[0])} / {number(middle)} / {number(values[-1])}'


def bound(m, value):
    if value is None:
        return ''
    return f'{"≥" if m["better"] == "more" else "≤"} {value:g}'


def verdict(m):
    """How the median stands to what is asked for."""
    if m['floor'] is None and m['goal'] is None:
        return ''
    value = m['median']

    def holds(limit):
        return limit is None or (value >= limit if m['better'] == 'more' else value <= limit)

    return 'goal' if holds(m['goal']) else 'floor' if m['floor'] is not None and holds(m['floor']) else 'missed'


def row(m):
    if m.get('missing'):
        return [m['title'], '', '', m["missing"], '', '', '']
    ratio = f'{m["median"]:.2f}' if m['limits'][0] is not None else ''
    limit = f'{spread(m["limits"])} ({m["limit_name"]})' if m['limits'][0] is not None else ''
    return [m['title'], f'{spread(m["values"])} {m["unit"]}'.strip(), limit, ratio, bound(m, m['floor']), bound(m, m['goal']), verdict(m)]


HEAD = ['measurement', 'jobbers, min / median / max', 'beside it', 'ratio', 'floor', 'goal', '']


def print_table(results):
    rows = [HEAD] + [row(m) for m in results]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    for r in rows:
        print('  '.join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip())


def markdown(results, about):
    lines = [f'{about["date"]}, commit {about["commit"]}, {about["machine"]}, load average {about["load"]} at the start.', '']
    lines += ['| ' + ' | '.join(HEAD) + ' |', '|' + '---|' * len(HEAD)]
    lines += ['| ' + ' | '.join(r) + ' |' for r in map(row, results)]
    return '\n'.join(lines) + '\n'


def update_document(path, text):
    """Puts the table between its marks."""
    with open(path) as f:
        old = f.read()
    head, rest = old.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    with open(path, 'w') as f:
        f.write(f'{head}{BEGIN}\n{text}{END}{tail}')


# ── the picture: ratios as bars, with floor and goal as marks ──

def bars(results, y, sense, title, out):
    """Those with a ratio where `sense` is better. Bars begin at 0 and end at 1.5 times the goal or at the ratio."""
    chosen = [m for m in results if not m.get('missing') and m['limits'][0] is not None and m['better'] == sense]
    if not chosen:
        return y
    out.append(f'<text x="20" y="{y}" class="h">{html.escape(title)}</text>')
    y += 12
    for m in chosen:
        most = max(m['median'], *(v for v in (m['floor'], m['goal'], 1) if v)) * 1.15
        scale = 380 / most
        colour = {'goal': '#2a7f4f', 'floor': '#c58a00', 'missed': '#b3261e'}.get(verdict(m), '#4a6fa5')
        out.append(f'<text x="20" y="{y + 13}">{html.escape(m["title"])}</text>')
        out.append(f'<rect x="470" y="{y + 2}" width="{m["median"] * scale:.1f}" height="14" fill="{colour}"/>')
        for value, dash in ((m['floor'], '2,2'), (m['goal'], 'none')):
            if value:
                x = 470 + value * scale
                out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 18}" stroke="#222" stroke-dasharray="{dash}"/>')
        out.append(f'<text x="860" y="{y + 13}">{m["median"]:.2f}</text>')
        y += 22
    return y + 22


def picture(results, about):
    out = []
    y = bars(results, 40, 'more', 'Throughput over the limit or the peer (longer is better)', out)
    y = bars(results, y, 'less', 'Cost over the limit (shorter is better)', out)
    out.append(f'<text x="20" y="{y}" class="s">Medians of ratios within one run. Dashed mark: floor; full mark: goal. Each bar has its own scale.</text>')
    out.append(f'<text x="20" y="{y + 16}" class="s">{html.escape(about["date"] + ", commit " + about["commit"] + ", " + about["machine"])}</text>')
    style = 'text{font:12px sans-serif;fill:#222}.h{font-weight:bold;font-size:14px}.s{font-size:11px;fill:#555}'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="920" height="{y + 30}" viewBox="0 0 920 {y + 30}"><style>{style}</style>'
            f'<rect width="100%" height="100%" fill="#fff"/>{"".join(out)}</svg>\n')
