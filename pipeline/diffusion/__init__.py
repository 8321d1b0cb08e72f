"""The paper's schedule, noise, samplers and network, in pure torch. Nothing here uses Ray or writes files of a run."""
