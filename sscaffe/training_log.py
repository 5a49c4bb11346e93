"""Tables from the log of a training: Caffe's own, that of its fork for sparsity, or sscaffe's."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

Row = dict[str, float | int | None]

_HEADER = re.compile(
    r"^[IWEF](?P<year>\d{4})?(?P<date>\d{4})\s+(?P<time>\d\d:\d\d:\d\d\.\d+)\s+\d+\s+\S+\]\s?"
)
_SHORT_HEADER = re.compile(r"^[IWEF] \S+\]\s?")  # of a log without times
_NUMBER = r"([-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf))"

_ITERATION = re.compile(r"Iteration (\d+)")
_LOSS = re.compile(rf"Iteration \d+(?: \([^)]*\))?, loss = {_NUMBER}", re.IGNORECASE)
_RATE = re.compile(rf"Iteration \d+, lr = {_NUMBER}", re.IGNORECASE)
_TEST_NET = re.compile(r"Iteration \d+, Testing net \(#(\d+)\)")
_OUTPUT = re.compile(rf"(Train|Test) net output #(\d+): (\S+) = {_NUMBER}", re.IGNORECASE)
_TOTAL = re.compile(rf"Total regularization terms: {_NUMBER}", re.IGNORECASE)

# As sscaffe has it: Sparsity conv1 weight: elem 10.0% col 0.0% row 0.0% block(25,1) 5.0%
_SPARSITY = re.compile(r"Sparsity (.+): elem ")
_SHARE = re.compile(rf"(elem|col|row|block\(\d+,\d+\)) {_NUMBER}%", re.IGNORECASE)
# As the fork has it: Element Sparsity %: and then a line with a number for each parameter.
_FORK_SPARSITY = re.compile(r"(Element|Column|Row|Block) Sparsity %:")
_FORK_BLOCK = re.compile(rf"\((\d+),(\d+)\):{_NUMBER};", re.IGNORECASE)

_OWN = {"NumIters", "Seconds", "LearningRate", "Loss", "Regularization"}
_KINDS = {"elem": "element", "col": "column"}


@dataclass
class TrainingLog:
    """What a log tells, in tables.

    Attributes
    ----------
    train : list of dict
        A row for each iteration that was displayed: NumIters, Seconds, LearningRate, the outputs
        of the net, Loss (the smoothed one), Regularization.
    test : dict of int to list of dict
        The same for the tests, by the number of the test net.
    sparsity : list of dict
        Per cent of zeros over time: NumIters, Seconds, and a column for each parameter and kind,
        such as ``conv1 weight column``; the fork gives numbers instead of names.
    """

    train: list[Row] = field(default_factory=list)
    test: dict[int, list[Row]] = field(default_factory=dict)
    sparsity: list[Row] = field(default_factory=list)


def parse_training_log(lines: Iterable[str], year: int | None = None) -> TrainingLog:
    """Read the log of a training.

    Parameters
    ----------
    lines : iterable of str
        The log; lines of other kinds are passed over.
    year : int, optional
        That it began in, where the times lack it; only leap years make a difference.

    Returns
    -------
    TrainingLog
        With empty tables where the log has nothing for them.
    """
    parser = _Parser(year or datetime.now().year)
    for line in lines:
        parser.read(line.rstrip("\n"))
    return parser.finish()


def columns(rows: list[Row]) -> list[str]:
    """Return the names of all columns, in the order in which they came up."""
    return list(dict.fromkeys(name for row in rows for name in row))


class _Clock:
    """Seconds since the solving began, from the times of the lines."""

    def __init__(self, year: int) -> None:
        self._year = year
        self._start: datetime | None = None
        self._last: datetime | None = None

    def read(self, header: re.Match[str]) -> None:
        self._year = int(header["year"] or self._year)
        text = f"{self._year}{header['date']} {header['time']}"
        try:
            now = datetime.strptime(text, "%Y%m%d %H:%M:%S.%f")
        except ValueError:
            return  # 29 February of another year than this: stay at the time before
        if self._last and now.month < self._last.month and not header["year"]:
            self._year += 1
            now = now.replace(year=self._year)
        self._last = now

    def begin(self) -> None:
        """Count from the line that was read last."""
        self._start = self._last

    def seconds(self) -> float | None:
        if self._last is None:
            return None
        self._start = self._start or self._last
        return (self._last - self._start).total_seconds()


class _Parser:
    def __init__(self, year: int) -> None:
        self._clock = _Clock(year)
        self._log = TrainingLog()
        self._iteration: int | None = None
        self._test_net = 0
        self._rates: dict[int, float] = {}
        self._fork_kind = ""  # what the next line tells of

    def read(self, line: str) -> None:
        header = _HEADER.match(line)
        if header:
            self._clock.read(header)
            line = line[header.end() :]
        elif short := _SHORT_HEADER.match(line):
            line = line[short.end() :]
        elif self._fork_kind:
            self._read_fork_sparsity(line)
        self._fork_kind = ""
        if line.startswith("Solving ") and self._iteration is None:
            self._clock.begin()
        self._read_iteration(line)
        if self._iteration is not None:
            self._read_values(line)

    def finish(self) -> TrainingLog:
        # After the last iteration the loss is displayed once more, without the outputs.
        self._log.train = [row for row in self._log.train if row.keys() - _OWN] or self._log.train
        tables = [self._log.train, *self._log.test.values()]
        for rows in tables:
            self._fill_rates(rows)
        return self._log

    def _read_iteration(self, line: str) -> None:
        if found := _ITERATION.search(line):
            self._iteration = int(found[1])
        if self._iteration is None:
            return
        if found := _TEST_NET.search(line):
            self._test_net = int(found[1])
        elif found := _LOSS.search(line):
            self._row(self._log.train, "Loss")["Loss"] = float(found[1])
        elif found := _RATE.search(line):
            self._rates[self._iteration] = float(found[1])

    def _read_values(self, line: str) -> None:
        if found := _OUTPUT.search(line):
            test = found[1].lower() == "test"
            rows = self._log.test.setdefault(self._test_net, []) if test else self._log.train
            first = found[3] if found[2] == "0" else ""
            self._set_output(self._row(rows, first), found[3], float(found[4]))
        elif found := _TOTAL.search(line):
            self._row(self._log.train)["Regularization"] = float(found[1])
        elif found := _SPARSITY.search(line):
            row = self._row(self._log.sparsity, f"{found[1]} element")
            for kind, share in _SHARE.findall(line):
                row[f"{found[1]} {_KINDS.get(kind, kind)}"] = float(share)
        elif found := _FORK_SPARSITY.search(line):
            self._fork_kind = found[1].lower()

    def _read_fork_sparsity(self, line: str) -> None:
        row = self._row(self._log.sparsity, f"param 0 {self._fork_kind}")
        if self._fork_kind != "block":
            for number, share in enumerate(line.split()):
                row[f"param {number} {self._fork_kind}"] = float(share)
            return
        for number, blocks in enumerate(line.split("\t")):
            for xdimen, ydimen, share in _FORK_BLOCK.findall(blocks):
                row[f"param {number} block({xdimen},{ydimen})"] = float(share)

    def _row(self, rows: list[Row], column: str = "") -> Row:
        """Return the row of this iteration, a new one if it has the column already.

        It has where a log goes on with a training that stopped here.
        """
        if not rows or rows[-1]["NumIters"] != self._iteration or column in rows[-1]:
            row: Row = {"NumIters": self._iteration, "Seconds": self._clock.seconds()}
            if rows is not self._log.sparsity:
                row["LearningRate"] = None
            rows.append(row)
        return rows[-1]

    @staticmethod
    def _set_output(row: Row, name: str, value: float) -> None:
        """Set an output; further values of one name get a number."""
        free, number = name, 0
        while free in row:
            number += 1
            free = f"{name}[{number}]"
        row[free] = value

    def _fill_rates(self, rows: list[Row]) -> None:
        """Give each row its own learning rate, or else the last one before, or the first."""
        rate = next(iter(self._rates.values()), None)
        known = sorted(self._rates.items())
        for row in rows:
            while known and known[0][0] <= (row["NumIters"] or 0):
                rate = known.pop(0)[1]
            row["LearningRate"] = rate
