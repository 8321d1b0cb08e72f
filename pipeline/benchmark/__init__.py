"""How fast this pipeline is, beside others and beside what a processor can do."""
