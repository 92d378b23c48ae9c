# SPDX-License-Identifier: Apache-2.0
"""How far a count can be trusted: exact and usual intervals, of the standard library only."""

import math
import statistics

Z95 = 1.959963984540054


def poisson_below(count, mean):
    """P(X ≤ count) of a Poisson variable."""
    if mean <= 0:
        return 1.0
    log_mean = math.log(mean)
    return math.fsum(math.exp(k * log_mean - mean - math.lgamma(k + 1))
                     for k in range(count + 1))


def root(function, low, high):
    """Where a falling function crosses 0."""
    for _ in range(80):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def poisson_interval(count):
    """The exact 95 % interval (Garwood) of the mean behind a count; Wilson and Hilferty's
    approximation of it above 2,000."""
    if count > 2000:
        return tuple(n * (1 - 1 / (9 * n) + z / (3 * math.sqrt(n))) ** 3
                     for n, z in ((count, -Z95), (count + 1, Z95)))
    high = count + 10 + 10 * math.sqrt(count + 1)
    upper = root(lambda m: poisson_below(count, m) - 0.025, 0, high)
    lower = root(lambda m: poisson_below(count - 1, m) - 0.975, 0, high) if count else 0.0
    return lower, upper


def wilson_interval(hits, tries):
    """Wilson's 95 % interval of a share."""
    if tries == 0:
        return 0.0, 1.0
    share = hits / tries
    middle = share + Z95 ** 2 / (2 * tries)
    spread = Z95 * math.sqrt(share * (1 - share) / tries + Z95 ** 2 / (4 * tries ** 2))
    whole = 1 + Z95 ** 2 / tries
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def median_interval(values):
    """Median and its 95 % interval by order statistics; never reached counts as infinite."""
    ordered = sorted(values)
    count = len(ordered)
    if count == 0:
        return math.inf, math.inf, math.inf
    reach = Z95 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - reach) - 1)
    high = min(count - 1, math.ceil(count / 2 + reach))
    return statistics.median_low(ordered), ordered[low], ordered[high]


def exceeds(count, mean):
    """More than a Poisson variable of this mean would be in 999 of 1,000 cases."""
    if count <= mean:
        return False
    return 1 - poisson_below(count - 1, mean) < 0.001
