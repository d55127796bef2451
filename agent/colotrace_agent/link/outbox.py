"""Frames to the coordinator: kept until acknowledged, sent again after a reconnect.

Bounded by the bounds of jobs: a job has at most one frame for each 50 ms of its time, and each of
its replies is in one of them.
"""

from collections.abc import Iterable

from colotrace_proto.messages import Ack, Frame, JobId


class Outbox:
    """The unacknowledged frames of each job."""

    def __init__(self) -> None:
        self._frames: dict[JobId, list[Frame]] = {}
        self._final: set[JobId] = set()

    def __len__(self) -> int:
        """Jobs that the coordinator may still ask for."""
        return len(self._frames)

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._frames

    @property
    def jobs(self) -> tuple[JobId, ...]:
        """The jobs that are not settled."""
        return tuple(self._frames)

    def open(self, job_id: JobId) -> None:
        """A job was accepted."""
        self._frames.setdefault(job_id, [])

    def add(self, frame: Frame) -> bool:
        """Keep a frame. Returns False if its job is no longer wanted: do not send the frame."""
        frames = self._frames.get(frame.job_id)
        if frames is None:
            return False
        frames.append(frame)
        if frame.outcome is not None:
            self._final.add(frame.job_id)
        return True

    def acknowledge(self, ack: Ack) -> None:
        """Drop the frames that have arrived, and the job with its last frame."""
        frames = self._frames.get(ack.job_id)
        if frames is None:
            return
        frames[:] = [frame for frame in frames if frame.sequence > ack.sequence]
        if not frames and ack.job_id in self._final:
            self.drop(ack.job_id)

    def drop(self, job_id: JobId) -> None:
        """The job is no longer wanted."""
        self._frames.pop(job_id, None)
        self._final.discard(job_id)

    def resume(self, wanted: Iterable[Ack]) -> tuple[list[Frame], list[JobId]]:
        """After a reconnect: the frames to send again, and the jobs to cancel."""
        acks = {ack.job_id: ack for ack in wanted}
        unwanted = [job_id for job_id in self._frames if job_id not in acks]
        for job_id in unwanted:
            self.drop(job_id)
        for ack in acks.values():
            self.acknowledge(ack)
        return [frame for frames in self._frames.values() for frame in frames], unwanted
