"""The best assignment under budget, capacities and minimum shares, with a bound."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "greedy": ["assign_greedily"],
        "shared_budget": ["SharedBudget", "gain_at", "share_budget"],
        "allocate": ["Allocation", "BudgetPoint", "allocate_actions", "allocation_problem", "budget_curve"],
        "dual_prices": ["AllocationProblem", "BUDGET_SLACK", "solve_dual"],
    },
)
