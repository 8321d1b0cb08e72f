"""Numbers to tables, plots and pictures."""
