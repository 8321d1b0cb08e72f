"""The paper: schedule, noise, sampler and network. Pure torch; knows no Ray and writes no files."""
