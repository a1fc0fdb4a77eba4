"""The same chunks on a Ray cluster (extra `ray`); every node sees the photos and the output under the same paths."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inversion.batch.items import Item, Pipeline, Result
from inversion.batch.local import cores, run_chunk
from stylegan_core.errors import ConfigError, ToolkitError

Chunk = list[Item]


class RayEngine:
    """One actor a worker, each with its models; a dead actor is replaced and its chunk handed back."""

    def __init__(self, pipeline: Pipeline, out: Path, workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray; install it with: pip install 'invertigo[ray]'") from error
        self.ray: Any = ray
        self.pipeline, self.out, self.workers = pipeline, out.resolve(), workers
        self.actors: dict[Any, Any] = {}  # what is being computed -> (actor, chunk)

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, list[Result] | None]]:
        """Yield each chunk with its results, as they come; None stands for a worker that died over it."""
        ours = not self.ray.is_initialized()
        if ours:
            self.ray.init(configure_logging=False, log_to_driver=False, include_dashboard=False)
        try:
            available = int(self.ray.cluster_resources().get("CPU", 1))
            idle = deque(
                self._actor(max(1, cores() // (self.workers or available))) for _ in range(self.workers or available)
            )
            while True:
                self._feed(idle, chunks)
                if not self.actors:
                    return
                (finished,), _ = self.ray.wait(list(self.actors), num_returns=1)
                actor, chunk = self.actors.pop(finished)
                try:
                    answer = self.ray.get(finished)
                except self.ray.exceptions.RayActorError:
                    answer, actor = None, self._actor(1)
                if isinstance(answer, ToolkitError):
                    raise answer
                idle.append(actor)
                yield chunk, answer
        except KeyboardInterrupt:
            ours = False  # ending its daemons takes seconds, and Ray does so at exit: first the user gets a word
            raise
        finally:
            for actor, _ in self.actors.values():
                self.ray.kill(actor)
            self.actors = {}
            if ours:
                self.ray.shutdown()

    def _feed(self, idle: deque[Any], chunks: Iterator[Chunk]) -> None:
        while idle:
            chunk = next(chunks, None)
            if chunk is None:
                return
            actor = idle.popleft()
            self.actors[actor.do.remote(chunk)] = actor, chunk

    def _actor(self, threads: int) -> Any:
        return self.ray.remote(num_cpus=1)(_Actor).remote(self.pipeline, self.out, threads)


class _Actor:
    """A worker that loads its models on the first chunk."""

    def __init__(self, pipeline: Pipeline, out: Path, threads: int) -> None:
        self.pipeline, self.out, self.threads = pipeline, out, threads
        self.process: Any = None

    def do(self, chunk: Chunk) -> list[Result] | ToolkitError:
        """Do a chunk; a `ToolkitError` is the reason why no chunk can be done."""
        if self.process is None:
            import torch

            torch.set_num_threads(self.threads)
            try:
                self.process = self.pipeline.open()
            except ToolkitError as error:
                return error
        return run_chunk(self.process, chunk, self.out)
