"""Grids by dynamic programming: against all subsets of nodes, DDIM's own walk, and sums of parts."""

import itertools
import math

import pytest
import torch
from mixture import MIXTURE
from schedules import FLOW, SCHEDULE, zero_snr

from pipeline.diffusion.prediction import Prediction
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.tuning.paths import best_path, late_starts, single_steps


def normals(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trajectory(predict, x_T, grid):
    steps = [*DDIM(0.0).walk(predict, x_T, grid, pytest.fail)]
    return torch.stack([x_T, *(x_t for x_t, _ in steps)]), torch.stack([pred_x0 for _, pred_x0 in steps])


@pytest.mark.parametrize("nodes", [2, 3, 6, 10])
def test_the_path_is_the_cheapest_of_all_subsets(nodes):
    for seed in range(20):
        costs, starts = normals(nodes, nodes, seed=seed) ** 2, 0.3 * normals(nodes, seed=100 + seed) ** 2
        starts[0] = 0
        costs[*torch.tril_indices(nodes, nodes)] = math.inf
        for steps in range(1, nodes):
            paths = [[*path, nodes - 1] for path in itertools.combinations(range(nodes - 1), steps)]

            def cost(path, costs=costs, starts=starts):
                return (starts[path[0]] + sum(costs[i, j] for i, j in itertools.pairwise(path))).item()

            assert best_path(costs, starts, steps) == min(paths, key=cost)


@pytest.mark.parametrize("schedule", [SCHEDULE, zero_snr(1000), FLOW], ids=["table", "zero terminal SNR", "flow"])
@pytest.mark.parametrize("end", ["first", "zero"])
def test_costs_are_those_of_ddims_steps_with_the_teachers_prediction(schedule, end):
    grid = schedule.nodes(schedule.tau("time-quadratic", 5))
    grid = grid if end == "zero" else grid[:-1]

    def predict(x_t, node):
        return Prediction(pred_x0 := (0.3 * x_t).tanh(), (x_t - node.alpha * pred_x0) / node.sigma)

    x_t, pred_x0 = trajectory(predict, normals(3, 1, 4, 4), grid)
    costs, starts = single_steps(grid, x_t, pred_x0), late_starts(x_t)
    assert (costs.dtype, costs.shape, starts.shape) == (torch.float64, (len(grid),) * 2, (len(grid),))
    for i, j in itertools.product(range(len(grid)), repeat=2):
        if i >= j:
            assert costs[i, j] == math.inf
            continue
        (x_prev, _), *_ = DDIM(0.0).walk(predict, x_t[i], (grid[i], grid[j]), pytest.fail)
        # float64's rounding of values about 1; one step is the teacher's own
        assert costs[i, j].item() == pytest.approx(((x_prev - x_t[j]) ** 2).sum().item(), abs=1e-24, rel=1e-9)
    assert [costs[i, i + 1] for i in range(len(grid) - 1)] == pytest.approx([0] * (len(grid) - 1), abs=1e-24)
    assert starts.tolist() == pytest.approx([((x - x_t[0]) ** 2).sum().item() for x in x_t])


def test_the_costs_of_parts_of_the_trajectories_add_up():
    grid = SCHEDULE.nodes(SCHEDULE.tau("logsnr", 6))
    x_t, pred_x0 = trajectory(MIXTURE.predict, normals(8, 1, 2, 2), grid)
    parts = [single_steps(grid, x_t[:, rows], pred_x0[:, rows]) for rows in (slice(5), slice(5, 8))]
    torch.testing.assert_close(parts[0] + parts[1], single_steps(grid, x_t, pred_x0))
    torch.testing.assert_close(late_starts(x_t[:, :5]) + late_starts(x_t[:, 5:]), late_starts(x_t))


def test_a_walk_on_the_path_is_nearer_to_the_teacher_than_on_named_grids():
    teacher = SCHEDULE.nodes(SCHEDULE.tau("time-quadratic", 40))
    x_t, pred_x0 = trajectory(MIXTURE.predict, normals(100, 1, 1, 1), teacher)
    path = best_path(single_steps(teacher, x_t, pred_x0), late_starts(x_t), 5)

    def error(grid, x_T):
        return ((DDIM(0.0).sample(MIXTURE.predict, x_T, grid, pytest.fail) - last) ** 2).mean().item()

    fresh = normals(1000, 1, 1, 1, seed=1)
    last = trajectory(MIXTURE.predict, fresh, teacher)[0][-1]
    others = [error(SCHEDULE.nodes(SCHEDULE.tau(spacing, 5)), fresh) for spacing in SCHEDULE.spacings]
    assert error(tuple(teacher[i] for i in path), fresh) < min(others)
