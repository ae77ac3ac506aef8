"""Rounds of measurements and their goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias, TypeVar

# Seconds by contender; not every contender takes part in every round.
Rounds: TypeAlias = Sequence[Mapping[str, float]]
Found = TypeVar("Found")


def interleaved(turns: Mapping[str, Callable[[], Found]], rounds: int) -> list[dict[str, Found]]:
    """The result of each contender, round by round; each round begins with another contender."""
    names = list(turns)
    orders = [[*names[at % len(names) :], *names[: at % len(names)]] for at in range(rounds)]
    found = [{name: turns[name]() for name in order} for order in orders]
    return [{name: spent[name] for name in names} for spent in found]


def ratio(rounds: Rounds, of: str, to: str) -> float:
    """The median over the rounds of the ratio of one contender's time to another's within a round."""
    return median(spent[of] / spent[to] for spent in rounds if of in spent and to in spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound on the ratio of two contenders."""

    of: str
    to: str
    bound: float
    at_most: bool

    def verdict(self, rounds: Rounds) -> str:
        """The goal with the measured value."""
        sign = "<=" if self.at_most else ">="
        if not any(self.of in spent and self.to in spent for spent in rounds):
            return f"{self.of} / {self.to} {sign} {self.bound:g}: not measured"
        found = ratio(rounds, self.of, self.to)
        met = found <= self.bound if self.at_most else found >= self.bound
        return f"{self.of} / {self.to} {sign} {self.bound:g}: {found:.2f}, {'met' if met else 'MISSED'}"
