"""From numbers to tables, plots and pictures."""
