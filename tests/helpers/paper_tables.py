"""The paper's tables and later ones, a second transcription: rows as they are printed, read by whoever tests ours."""

HAT = "σ̂"

CIFAR10 = """
η    10     20     50    100  1000
0.0  13.36  6.84   4.67  4.16 4.04
0.2  14.04  7.11   4.77  4.25 4.09
0.5  16.66  8.35   5.25  4.46 4.29
1.0  41.07  18.36  8.01  5.78 4.73
σ̂    367.43 133.37 32.72 9.99 3.17
"""
"""Table 1."""

CELEBA = """
η    10     20     50    100   1000
0.0  17.33  13.73  9.17  6.53  3.51
0.2  17.66  14.11  9.51  6.79  3.64
0.5  19.86  16.06  11.01 8.09  4.28
1.0  33.12  26.03  18.48 13.93 5.98
σ̂    299.71 183.83 71.71 45.20 3.26
"""
"""Table 1."""

BEDROOM = """
η    10    20    50    100
0.0  16.95 8.89  6.75  6.62
1.0  42.78 22.77 10.81 6.81
"""
"""Table 3."""

CHURCH = """
η    10    20    50    100
0.0  19.45 12.47 10.84 10.58
1.0  51.56 23.37 11.16 8.27
"""
"""Table 3."""

RECONSTRUCTION = """
S      10    20     50     100    200    500    1000
error  0.014 0.0065 0.0023 0.0009 0.0004 0.0001 0.0001
"""
"""Table 2."""

LATER = """
calls          10    12    14   15   18   20   48   50   198  200  999  1000
DDIM           13.36 11.02 -    8.92 -    6.94 -    4.73 -    4.07 -    3.95
Analytic-DDIM  -     11.68 -    9.16 -    7.20 -    4.28 -    3.60 -    3.86
F-PNDM         -     -     -    -    -    4.61 -    3.68 -    3.47 -    3.26
tAB3-DEIS      7.12  -     -    -    -    4.53 -    3.78 -    -    -    -
DPM-Solver-2   -     6.15  5.23 -    -    3.95 -    3.50 -    3.46 -    3.46
DPM-Solver-3   -     8.20  -    5.21 3.81 -    3.49 -    3.45 -    3.45 -
ERA-Solver     -     4.38  -    3.86 -    3.79 -    3.42 -    -    -    -
SciRE-V1-2     -     4.41  -    4.09 -    3.67 -    3.28 -    -    -    -
"""
"""SciRE-Solver's table 1, and others for 10 calls. Two calls fit 7 times into 15; three fit 6 times into 20."""

SCORES = """
S   10   20   50   100
IS  8.28 8.81 8.98 9.11
"""
"""A later paper's."""


def read(text):
    """{row: {column: number}} of a table; "-" is a cell that is empty."""
    (_, *columns), *rows = [line.split() for line in text.strip().splitlines()]
    return {
        name: {int(column): float(cell) for column, cell in zip(columns, cells, strict=True) if cell != "-"}
        for name, *cells in rows
    }


def fids(text):
    """{(η, S): FID} of a table of the paper's."""
    rows = read(text)
    return {("hat" if eta == HAT else float(eta), s): fid for eta, row in rows.items() for s, fid in row.items()}
