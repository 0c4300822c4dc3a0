"""Where the budgets hold: how many archs there are, the way from any arch to one of them, and fair draws from them.

Only budgets on free objectives are dealt with here, since an arch is asked about many times over. Budgets on the
other objectives are a matter of ranking (:mod:`hwnas.optimize.pareto`).
"""

from hwnas.optimize.feasible.region import Extreme, FeasibleCount, FeasibleRegion

__all__ = ["Extreme", "FeasibleCount", "FeasibleRegion"]
