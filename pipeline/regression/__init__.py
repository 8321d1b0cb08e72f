"""Tonight's run compared with a baseline: paired statistics, the gate, the history and its pages."""
