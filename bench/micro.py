"""micro.py: the hot paths one by one, each as a ratio to the library call it is made of."""
import shutil
import tempfile

from measure import Measurement, output_of


class Request(Measurement):
    title = 'route, parse and check a submission'
    unit = 'ns'
    limit_name = 'json_loadb()'
    better = 'less'

    def once(self):
        ours, bare = output_of(self.c.helper('bench-request'), self.c.scale(200000, 50000)).split()
        return float(ours), float(bare)


class Store(Measurement):
    """One row of what bench-store prints: batch, bare inserts a second, then pairs of rate and ratio for submit, start, complete and all three.
    One run of the program serves all measurements of a round."""
    unit = 'tasks/s'
    limit_name = 'bare inserts, as many a transaction'
    rows_by_round = {}
    batch = column = 0

    def once(self):
        i = len(self.rows)
        if i not in Store.rows_by_round:
            directory = tempfile.mkdtemp(dir=self.c.scratch)
            text = output_of(self.c.helper('bench-store'), directory, 0, self.c.scale(2, 8)).decode()
            shutil.rmtree(directory)
            Store.rows_by_round[i] = {int(f[0]): [float(x) for x in f[1:]] for f in (line.split() for line in text.splitlines()) if f and f[0].isdigit()}
        row = Store.rows_by_round[i][self.batch]
        return row[self.column], row[0]


def store(what, column, batch):
    return type(f'Store{what}{batch}', (Store,), {'title': f'{what}, {batch} a commit', 'batch': batch, 'column': column})


ALL = [Request] + [store(what, column, batch) for what, column in (('submit', 1), ('claim and start', 3), ('complete', 5)) for batch in (1, 10, 100)]
