"""Tonight against a baseline: paired statistics, the gate, the history and its pages."""
