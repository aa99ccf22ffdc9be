"""What connects the stages of a worker, each of which has a thread of its own: bounded, and stopped all at once."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The work was given up: by an error in another stage, or by whoever wanted the results."""


class Ended(Exception):
    """Nothing more will come."""


class Pipe(Generic[T]):
    """A queue of at most so many items. Whoever waits at it is woken when it ends or is stopped."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._is_ended = self._is_stopped = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Wait for room.

        Raises:
            Stopped: there is no use in it.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self.most or self._is_stopped or self._is_ended)
            if self._is_stopped or self._is_ended:
                raise Stopped
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> T:
        """Wait for an item.

        Raises:
            Stopped, Ended: none will come.
            TimeoutError: none came so far.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_ended or self._is_stopped, timeout_s)
            if self._is_stopped:
                raise Stopped
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._is_ended:
                raise Ended
            raise TimeoutError

    def end(self) -> None:
        """What is in it can be taken; nothing is put any more."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """What is in it is lost."""
        with self._changed:
            self._is_stopped = True
            self._items.clear()
            self._changed.notify_all()


class Budget:
    """Bytes of memory that the stages share: a sample takes its part before it is decoded, and gives it back encoded.

    A sample that is larger than all of it gets in once half of it is free, so nothing ever waits for ever: the groups
    that wait for samples of their shape take up to a half.
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self.taken = 0
        self._changed = threading.Condition()
        self._is_stopped = False

    def take(self, num_bytes: int) -> None:
        """Wait for room.

        Raises:
            Stopped: there is no use in it.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._is_stopped or self.taken + num_bytes <= self.num_bytes or self.taken <= self.num_bytes // 2
                )
            )
            if self._is_stopped:
                raise Stopped
            self.taken += num_bytes

    def give_back(self, num_bytes: int) -> None:
        with self._changed:
            self.taken -= num_bytes
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
