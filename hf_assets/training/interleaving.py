"""Whose turn it is: an order of several parts in which each has its share after every single turn."""

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm


class Interleaving:
    """Gives turn after turn to n parts with integer weights.

    After any number t of turns, a part of weight w out of W in all has had t * w / W of them to within
    1 - 1 / (2n - 2): half a turn for two parts, and always less than one. No order does better for all weights. Each
    of a part's turns has the window of time in which it must be for this to hold; the part whose window ends first
    goes next (R. Tijdeman, The chairman assignment problem, 1980). After W turns each part has had w, and the order
    repeats.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        """
        Args:
            weights: each 1 or more.
        """
        common = gcd(*weights)
        self.weights = [weight // common for weight in weights]
        self.period = sum(self.weights)
        # the bound above is (unit - 1) / unit; times are integers in units of W
        self._unit = max(2 * len(weights) - 2, 2)
        self._restart()

    def _restart(self) -> None:
        self._time = 0
        self._given = [0] * len(self.weights)
        self._ends = [self._end(part) for part in range(len(self.weights))]

    def _end(self, part: int) -> int:
        """When the window of a part's next turn ends."""
        lag = (self._given[part] + 1) * self._unit - 1
        return lag * self.period // (self._unit * self.weights[part])

    def take(self) -> int:
        """The part whose turn it is; the next call gives the next."""
        self._time += 1
        unit, ends, given, weights = self._unit, self._ends, self._given, self.weights
        chosen, soonest = -1, 0
        for part, end in enumerate(ends):
            is_sooner = chosen < 0 or end < soonest
            if is_sooner and (given[part] * unit + 1) * self.period <= unit * weights[part] * self._time:
                chosen, soonest = part, end
        given[chosen] += 1
        ends[chosen] = self._end(chosen)
        if self._time == self.period:
            self._restart()
        return chosen

    def skip(self, num_turns: int) -> list[int]:
        """Pass over turns.

        Returns:
            how many of them each part had.
        """
        rounds, rest = divmod(num_turns, self.period)
        counts = [rounds * weight for weight in self.weights]
        for _ in range(rest):
            counts[self.take()] += 1
        return counts


# After so many turns an order repeats, at the latest: who skips turns takes no more of them than that.
LONGEST_PERIOD = 20_000


def turns_of(probabilities: Sequence[float], samples_per_turn: Sequence[Fraction]) -> list[int]:
    """Weights with which the parts have samples in the ratio of their probabilities.

    Where all turns have equally many samples, the ratio is exactly that of the decimal numbers as they are written: 0.7
    and 0.3 are 7 to 3. Else it may be off by a ten-thousandth, so that the period is not too long.

    Args:
        samples_per_turn: their mean, of each part.
    """
    exact = [
        Fraction(repr(float(value))) / (mean / max(samples_per_turn))
        for value, mean in zip(probabilities, samples_per_turn, strict=True)
    ]
    scale = lcm(*(value.denominator for value in exact))
    weights = [int(value * scale) for value in exact]
    weights = [weight // gcd(*weights) for weight in weights]
    if len(set(samples_per_turn)) == 1 or sum(weights) <= LONGEST_PERIOD:
        return weights
    return [max(1, round(weight * LONGEST_PERIOD / sum(weights))) for weight in weights]
