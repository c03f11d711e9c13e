"""A process that ends at a chosen write, as with ``kill -9``."""

from dataclasses import dataclass


class Killed(BaseException):
    """The process ended here."""


@dataclass
class Fuse:
    """Ends the process at a write: ``left`` writes are still made. ``writes`` counts them."""

    left: int | None = None
    writes: int = 0

    def burn(self) -> None:
        self.writes += 1
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
