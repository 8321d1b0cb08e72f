"""Tasks on workers: which worker gets which task, what an operator sees of them, and Ray."""
