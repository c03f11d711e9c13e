"""What a month will have cost at its end, with an interval.

Method: the days still to come are taken to cost what the complete days of the last four weeks did on
average. The interval of 80 % is Student's prediction interval for the sum of h further draws when n
were seen: h times the mean, plus or minus t(0.9, n - 1) s sqrt(h + h² / n), s being the standard
deviation of the n days (https://en.wikipedia.org/wiki/Prediction_interval, for a sum instead of a
mean). Days count as independent and alike, so that a trend or a coming change is not foreseen;
weekdays and weekends widen the interval. The lower end is never below what is spent already.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: Complete days that are looked back on.
WINDOW_DAYS = 28
#: Fewer complete days than this give no interval.
LEAST_DAYS = 3
PERCENT = 80

#: The 0.9 quantile of Student's t by degrees of freedom, 1 to 27; later the last one.
#: Source: https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
_T90 = (
    *(3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356, 1.350),
    *(1.345, 1.341, 1.337, 1.333, 1.330, 1.328, 1.325, 1.323, 1.321, 1.319, 1.318, 1.316, 1.315),
    1.314,
)


@dataclass(frozen=True)
class Forecast:
    """The month's total in whole cents; ``low`` and ``high`` are None with fewer than three days.

    ``days`` is how many complete days it rests on.
    """

    cents: int
    low: int | None
    high: int | None
    days: int


def forecast(spent_cents: int, complete_days: Sequence[int], days_left: float) -> Forecast | None:
    """The month's total; None without a complete day to go by.

    Args:
        spent_cents: The month to date.
        complete_days: Cents of complete days, in any order.
        days_left: What is left of the month; today's rest is a fraction.
    """
    if not complete_days:
        return Forecast(spent_cents, None, None, 0) if days_left <= 0 else None
    mean = statistics.fmean(complete_days)
    middle = spent_cents + days_left * mean
    count = len(complete_days)
    if count < LEAST_DAYS:
        return Forecast(round(middle), None, None, count)
    quantile = _T90[min(count - 1, len(_T90)) - 1]
    spread = statistics.stdev(complete_days) * math.sqrt(days_left + days_left**2 / count)
    half = quantile * spread
    return Forecast(
        round(middle), round(max(spent_cents, middle - half)), round(middle + half), count
    )
