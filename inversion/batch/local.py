"""Worker processes on this machine; any of them may die at any moment."""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from inversion.batch.guards import stops_the_run
from inversion.batch.items import Item, Pipeline, Result
from stylegan_core.devices import num_gpus
from stylegan_core.errors import OutputError, ToolkitError, sentence_of

Chunk = list[Item]


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(pipeline: Pipeline, workers: int) -> int:
    """Return the number of workers: those asked for, else one a GPU where the pipeline uses GPUs, or one a core."""
    return workers or num_gpus(getattr(pipeline, "device", "cpu")) or cores()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    gpu: int | None
    chunk: Chunk | None = None


class LocalEngine:
    """Gives chunks to worker processes; the cores are divided among them."""

    def __init__(self, pipeline: Pipeline, out: Path, workers: int) -> None:
        self.pipeline, self.out = pipeline, out
        self.num_workers = workers_for(pipeline, workers)
        self.num_gpus = num_gpus(getattr(pipeline, "device", "cpu"))
        self.threads = max(1, cores() // self.num_workers)
        self.workers: list[_Worker] = []

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, list[Result] | None]]:
        """Yield each chunk with its results, as they come; None stands for a worker that died over it.

        No more chunks are taken from `chunks` than there are workers."""
        try:
            while True:
                self._feed(chunks)
                busy = [worker for worker in self.workers if worker.chunk is not None]
                if not busy:
                    return
                ready = wait([w.connection for w in busy] + [w.process.sentinel for w in busy])
                for worker in busy:
                    if worker.connection in ready or worker.process.sentinel in ready:
                        yield self._collect(worker)
        finally:
            self.close()

    def close(self) -> None:
        """Stop the workers at once; what they were writing appears whole or not at all."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join(timeout=5)
            worker.connection.close()
        self.workers = []

    def _feed(self, chunks: Iterator[Chunk]) -> None:
        while any(worker.chunk is None for worker in self.workers) or len(self.workers) < self.num_workers:
            chunk = next(chunks, None)
            if chunk is None:
                return
            worker = next((w for w in self.workers if w.chunk is None), None) or self._start()
            worker.chunk = chunk
            with contextlib.suppress(OSError):  # it died while idle: its sentinel says so next
                worker.connection.send(chunk)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        gpu = min(range(self.num_gpus), key=[w.gpu for w in self.workers].count) if self.num_gpus else None
        arguments = theirs, self.pipeline, self.out, self.threads, gpu
        process = context.Process(target=_work, args=arguments, daemon=True)
        with _interrupts_held():
            process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours, gpu))
        return self.workers[-1]

    def _collect(self, worker: _Worker) -> tuple[Chunk, list[Result] | None]:
        chunk = worker.chunk
        assert chunk is not None
        worker.chunk = None
        try:
            answer: Any = worker.connection.recv() if worker.connection.poll() else None
        except (EOFError, OSError):
            answer = None
        if answer is None:
            self.workers.remove(worker)
            worker.process.kill()
            worker.process.join(timeout=5)
            worker.connection.close()
        elif isinstance(answer, ToolkitError):
            raise answer
        return chunk, answer


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, from their first instruction on: it is the parent's to handle."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    """End this process when its parent ends, however that ended, so that nobody writes into a folder it lost."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(connection: Connection, pipeline: Pipeline, out: Path, threads: int, gpu: int | None) -> None:
    """Live as a worker: load once, then do chunks until the parent is gone; of several GPUs it sees number `gpu`."""
    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu] if visible else str(gpu)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    try:
        process = pipeline.open()
    except ToolkitError as error:
        connection.send(error)
        return
    while True:
        try:
            chunk: Sequence[Item] = connection.recv()
            connection.send(run_chunk(process, chunk, out))
        except (EOFError, OSError):
            return


def run_chunk(process: Any, chunk: Sequence[Item], out: Path) -> list[Result] | ToolkitError:
    """Do a chunk; what a pipeline did not foresee fails the chunk's items, with the traceback.

    Returns the error instead where every further chunk would meet it too, such as a full disk."""
    try:
        results: list[Result] = process(chunk, out)
        return results
    except Exception as error:
        if stops_the_run(error):
            return OutputError(f"{error}; then run the same command again, which goes on")
        reason = sentence_of(error)[:300]
        return [Result(item.id, f"{item.path}: {reason}", traceback.format_exc()) for item in chunk]
