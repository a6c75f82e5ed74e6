"""How badly an endpoint's webhooks are delivered: twice, late, out of order, or never."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Final

_SHUFFLE_STEP_MS: Final = 40
_SHUFFLE_SPREAD_MS: Final = 160


@dataclass(frozen=True, slots=True)
class Manners:
    """The faults of one endpoint's deliveries."""

    duplicate: float = 0
    """How many extra copies of each event; a fraction is the chance of one."""
    delay_ms: int = 0
    """How late everything is."""
    shuffle: bool = False
    """Whether events that belong together leave in another order than they happened, and mix with later ones."""
    drop: float = 0
    """The share of events that is lost: 0 none, 1 all."""

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Manners:
        """From what :meth:`as_document` gave."""
        return cls(**document)

    def as_document(self) -> dict[str, Any]:
        """The fields, for keeping."""
        return asdict(self)

    def schedule(self, event_ids: list[str], chance: random.Random) -> list[tuple[str, int]]:
        """(event id, delay in milliseconds) of each copy that leaves; ``event_ids`` happened together, in order."""
        kept = [event_id for event_id in event_ids if chance.random() >= self.drop]
        copies = [event_id for event_id in kept for _ in range(1 + self._extra_copies(chance))]
        if not self.shuffle:
            return [(event_id, self.delay_ms) for event_id in copies]
        shuffled = _other_order(copies, chance)
        start_ms = self.delay_ms + chance.randrange(_SHUFFLE_SPREAD_MS)
        return [(event_id, start_ms + slot * _SHUFFLE_STEP_MS) for slot, event_id in enumerate(shuffled)]

    def _extra_copies(self, chance: random.Random) -> int:
        whole = int(self.duplicate)
        return whole + (chance.random() < self.duplicate - whole)


def _other_order(items: list[str], chance: random.Random) -> list[str]:
    """A random order that is not the given one, where there is another."""
    shuffled = items.copy()
    chance.shuffle(shuffled)
    if shuffled == items:
        shuffled = items[1:] + items[:1]
    return shuffled
