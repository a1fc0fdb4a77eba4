"""The record of a run: one SQLite file that knows what became of every photo."""

import csv
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from inversion.batch.inputs import Input
from inversion.batch.items import Item, Result
from stylegan_core.errors import OutputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY,
    path BLOB UNIQUE NOT NULL,
    name TEXT UNIQUE NOT NULL,
    chunk INTEGER NOT NULL,
    key TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    photo_sha256 TEXT NOT NULL DEFAULT '',
    metrics TEXT NOT NULL DEFAULT '{}',
    outputs TEXT NOT NULL DEFAULT '{}',
    made_with TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    traceback TEXT NOT NULL DEFAULT '',
    updated REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS items_by_chunk ON items (state, chunk);
"""
COLUMNS = ("name", "path", "state", "attempts", "seconds", "photo_sha256", "error", "metrics", "outputs")


class Manifest:
    """Open (or make) the manifest of an output folder; every change is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: set[str] = set()  # of items' folders, in lower case
        self.occupied: set[str] = set()  # those, and the folders they stand in
        self.refused: list[tuple[Item, Result]] = []  # of the last plan: inputs that are not read at all
        with self._guard():
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def register(self, inputs: Iterable[Input], key: str, out: Path, batch: int, workers: int) -> Counter[str]:
        """Plan a run: enter new photos, and mark for another go what changed, was cut off, or lost its outputs.

        Photos that are planned together share a chunk, which is always done as a whole and in the same order, so that
        a run that was cut off ends with the same files as one that was not. Returns counts by what is known of each."""
        counts: Counter[str] = Counter()
        with self._transaction():
            self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (id INTEGER PRIMARY KEY)")
            self.connection.execute("DELETE FROM wanted")
            for (name,) in self.connection.execute("SELECT name FROM items"):
                self._occupy(name)
            last = self.connection.execute("SELECT COALESCE(MAX(id), 0) FROM items").fetchone()[0]
            for entered in inputs:
                item_id, what = self._register_one(entered, key, out)
                fresh = self.connection.execute("INSERT OR IGNORE INTO wanted VALUES (?)", (item_id,)).rowcount
                counts[what] += fresh  # what is named twice counts once
            self._form_chunks(last + 1, counts["new"], batch, workers)
        return counts

    def _form_chunks(self, first: int, new: int, batch: int, workers: int) -> None:
        """Divide the `new` items from id `first` on into chunks of `batch` at most, as many for every worker."""
        rounds = -(-new // (batch * workers))
        size = max(1, -(-new // max(1, rounds * workers)))
        self.connection.execute(
            "UPDATE items SET chunk = (SELECT COALESCE(MAX(chunk), -1) + 1 FROM items WHERE id < :first) "
            "+ (id - :first) / :size WHERE id >= :first",
            {"first": first, "size": size},
        )

    def _register_one(self, entered: Input, key: str, out: Path) -> tuple[int, str]:
        path = os.fsencode(os.path.abspath(entered.path))
        size, mtime = _stamp(entered.path)
        row = self.connection.execute(
            "SELECT id, name, key, size, mtime_ns, state, outputs FROM items WHERE path = ?", (path,)
        ).fetchone()
        if row is None:
            name = self._free_name(entered.name)
            item_id = self.connection.execute(
                "INSERT INTO items (path, name, chunk, key, size, mtime_ns, state, updated) VALUES (?,?,0,?,?,?,?,?)",
                (path, name, key, size, mtime, "pending", time.time()),
            ).lastrowid
            assert item_id is not None
            what = "new"
        else:
            item_id, name, old_key, *stamp, state, outputs = row
            same = old_key == key and stamp == [size, mtime]
            if same and state == "done" and _outputs_exist(out / name, outputs):
                return item_id, "done before"
            if same and state == "failed":
                return item_id, "failed before"
            what = "unfinished"
            if state in ("done", "failed"):
                cause = (
                    "photo changed" if stamp != [size, mtime] else "output lost" if same else "recipe or model changed"
                )
                what = f"done again ({cause})"
            self.connection.execute(
                "UPDATE items SET key = ?, size = ?, mtime_ns = ?, state = 'pending', attempts = 0 WHERE id = ?",
                (key, size, mtime, item_id),
            )
        if entered.problem:
            refusal = Result(item_id, f"{entered.path}: {entered.problem}")
            self._update(refusal)
            self.refused.append((Item(item_id, entered.path, name), refusal))
            what = "refused"
        return item_id, what

    def _free_name(self, name: str) -> str:
        """Number a name until it is free, and no item's folder is inside another's."""
        candidate, number = name, 2
        while candidate.lower() in self.occupied or any(part in self.names for part in _parents(candidate)):
            folder, slash, rest = name.partition(os.sep)  # numbering the first part settles both kinds of clash
            candidate, number = f"{folder}-{number}{slash}{rest}", number + 1
        self._occupy(candidate)
        return candidate

    def _occupy(self, name: str) -> None:
        self.names.add(name.lower())
        self.occupied |= {name.lower(), *_parents(name)}

    def pending(self) -> Iterator[list[Item]]:
        """Yield the chunks that this run is to do, in order, marked as running; only one at a time is in memory."""
        chunk = -1
        while True:
            row = self.connection.execute(
                "SELECT MIN(chunk) FROM items JOIN wanted USING (id) WHERE state = 'pending' AND chunk > ?", (chunk,)
            ).fetchone()
            if row[0] is None:
                return
            chunk = row[0]
            rows = self.connection.execute(
                "SELECT id, path, name, outputs, made_with, photo_sha256 FROM items JOIN wanted USING (id) "
                "WHERE state = 'pending' AND chunk = ? ORDER BY id",
                (chunk,),
            ).fetchall()
            items = [Item(row[0], os.fsdecode(row[1]), row[2], json.loads(row[3]), *row[4:]) for row in rows]
            self._start(items)
            yield items

    def count(self, *states: str) -> int:
        """Count this run's items in the given states."""
        marks = ",".join("?" * len(states))
        query = f"SELECT COUNT(*) FROM items JOIN wanted USING (id) WHERE state IN ({marks})"
        return int(self.connection.execute(query, states).fetchone()[0])

    def _start(self, items: Iterable[Item]) -> None:
        with self._transaction():
            for item in items:
                self.connection.execute(
                    "UPDATE items SET state = 'running', attempts = attempts + 1, updated = ? WHERE id = ?",
                    (time.time(), item.id),
                )

    def record(self, results: Iterable[Result]) -> None:
        """Write results down, all or none."""
        with self._transaction():
            for result in results:
                self._update(result)

    def _update(self, result: Result) -> None:
        self.connection.execute(
            "UPDATE items SET state = ?, seconds = ?, metrics = ?, error = ?, traceback = ?, updated = ? WHERE id = ?",
            (
                "done" if result.done else "failed",
                result.seconds,
                json.dumps(result.metrics, sort_keys=True),
                _text(result.error),
                _text(result.traceback),
                time.time(),
                result.item_id,
            ),
        )
        if result.done:  # a failure leaves the files of an earlier time where they are, and known
            self.connection.execute(
                "UPDATE items SET outputs = ?, photo_sha256 = ?, made_with = key WHERE id = ?",
                (json.dumps(result.outputs, sort_keys=True), result.photo_sha256, result.item_id),
            )

    def retry(self) -> int:
        """Mark every failed item for another go; return how many."""
        with self._transaction():
            return self.connection.execute("UPDATE items SET state = 'pending' WHERE state = 'failed'").rowcount

    def summary(self) -> dict[str, int]:
        """Count all items by state."""
        rows = self.connection.execute("SELECT state, COUNT(*) FROM items GROUP BY state ORDER BY state")
        return dict(rows.fetchall())

    def failures(self) -> Iterator[tuple[str, str]]:
        """Yield path and error of every failed item, in order."""
        for path, error in self.connection.execute("SELECT path, error FROM items WHERE state = 'failed' ORDER BY id"):
            yield os.fsdecode(path), error

    def items(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of every item, in order: `COLUMNS` by name, metrics and outputs as dicts."""
        for row in self.connection.execute(f"SELECT {', '.join(COLUMNS)} FROM items ORDER BY id"):
            values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
            values["path"] = _text(os.fsdecode(values["path"]))
            yield {**values, "metrics": json.loads(values["metrics"]), "outputs": json.loads(values["outputs"])}

    def metrics(self) -> list[str]:
        """Return the names of all metrics that any item has."""
        keys = self.connection.execute("SELECT DISTINCT e.key FROM items, json_each(items.metrics) AS e ORDER BY e.key")
        return [key for (key,) in keys.fetchall()]

    def export(self, file: TextIO) -> None:
        """Write every item as CSV, one column a metric."""
        metrics = self.metrics()
        writer = csv.writer(file)
        writer.writerow([*COLUMNS[:-2], *metrics])
        for item in self.items():
            measured = (item["metrics"].get(name, "") for name in metrics)
            writer.writerow([*(item[name] for name in COLUMNS[:-2]), *measured])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self.connection.in_transaction:  # a full disk ends it by itself
                    self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"{self.path}: cannot be used ({error}); free some space or choose another --out, then run it again"
            ) from error


def _stamp(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return -1, -1  # it will fail with its reason when it is read
    return stat.st_size, stat.st_mtime_ns


def _parents(name: str) -> list[str]:
    return [str(parent) for parent in Path(name.lower()).parents][:-1]  # without '.'


def _outputs_exist(folder: Path, outputs: str) -> bool:
    return all((folder / name).is_file() for name in json.loads(outputs))


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
