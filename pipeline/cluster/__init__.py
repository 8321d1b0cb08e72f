"""Tasks on workers: which worker gets which, what an operator sees of it, and Ray."""
