"""How many calls were made, by method, path template and status: what benches count."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Calls:
    """Keys of ``counts`` are (``GET /repos/{owner}/{repo}/pulls``, status).

    ``git`` counts Git's own requests (``POST git-upload-pack``), which no rate limit knows.
    """

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    git: Counter[str] = field(default_factory=Counter)

    def add(self, method: str, template: str, status: int) -> None:
        self.counts[(f"{method} {template}", status)] += 1

    def reset(self) -> None:
        self.counts.clear()
        self.git.clear()

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def unchanged(self) -> int:
        """Conditional calls that were answered 304, and so are free."""
        return sum(count for (_, status), count in self.counts.items() if status == 304)

    @property
    def billed(self) -> int:
        """What counts against the rate limit."""
        return self.total - self.unchanged

    def by_call(self) -> dict[str, int]:
        """Counts by method and template, whatever the status."""
        found: Counter[str] = Counter()
        for (name, _), count in self.counts.items():
            found[name] += count
        return dict(sorted(found.items()))
