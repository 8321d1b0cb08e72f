"""The paper: schedule, noise, samplers and network. Pure torch; knows no Ray and writes no files of a run."""
