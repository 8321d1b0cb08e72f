"""The best sampler and grid for a budget of calls: searched, proven on fresh seeds, and what that costs."""
