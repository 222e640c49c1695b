"""The best assignment under budget, capacities and minimum shares, with a bound."""
