"""The search for the best sampler and grid at a budget of network calls, and the proof of what it finds."""
