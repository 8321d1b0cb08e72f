"""The drawing worker: the same pixels however the work is cut, and what its files say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import walks
from diffusers import DDIMPipeline, DDIMScheduler
from diffusers.pipelines.ddim import pipeline_ddim
from schedules import SCHEDULE

from pipeline.device import set_tf32
from pipeline.diffusion import noise
from pipeline.diffusion.spacing import make_tau
from pipeline.images.pixels import to_uint8
from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.images import read_images
from pipeline.sweep.model import model_folder
from pipeline.sweep.run import open_run
from pipeline.sweep.shards import Shard, plan
from pipeline.work.claim import claim
from pipeline.work.draw import Draw, DrawWorker
from pipeline.work.extract import Extract, ExtractWorker


def make(config, precision="float32"):
    return DrawWorker("cpu", Draw(open_run(config.model_copy(update={"dtype": precision}))).arguments)


def fingerprint(worker, shard):
    return shard.setting.fingerprint(worker.arguments.identity)


def test_a_shard_is_what_the_sampler_draws_image_by_image(small):
    """With a seed of the run, by the paper's functions alone."""
    config = small.model_copy(update={"seed": 5})
    worker = make(config)
    setting = settings(config, SCHEDULE)[1]
    shard = Shard(setting, 25, 50)
    drawn = worker.do(shard).end()
    images, info = read_images(worker.storage, shard, fingerprint(worker, shard))
    assert (drawn.rows, drawn.digest) == (25, info.digest)
    tau, alphas = make_tau("linear", 5), torch.tensor(SCHEDULE.alphas_cumprod, dtype=torch.float64)
    network = lambda x_t, t: worker.model.network(x_t, SCHEDULE.node(t))  # noqa: E731
    for seed in (25, 41, 49):
        draw = lambda step, seed=seed: noise.normal(5, torch.tensor([seed]), step, (1, 8, 8))  # noqa: E731
        x_0 = walks.sample(network, draw(noise.X_T_STEP), tau, alphas, draw, "hat", clip=True)
        alone = to_uint8(x_0)[0, 0].numpy().astype(int)
        # a batch of one sums in another order: rare pixels on the edge of a rounding move by one
        assert np.abs(alone - images[seed - 25, :, :, 0]).max() <= 1


def test_every_batch_is_full(small, monkeypatch):
    """A shard of 25 in batches of 16: kernels choose their sums by the size of a batch."""
    worker = make(small)
    sizes = []
    network = worker.walker.network.network
    monkeypatch.setattr(
        worker.walker.network, "network", lambda x_t, *more: sizes.append(len(x_t)) or network(x_t, *more)
    )
    worker.do(Shard(settings(small, SCHEDULE)[0], 25, 50)).end()
    assert sizes == [16] * 2 * 5


def test_the_plan_alone_fixes_the_bits(small):
    setting = settings(small, SCHEDULE)[0]
    shards = plan(setting, 90, 25)
    first, second = make(small), make(small)
    forward = [first.do(shard).end().digest for shard in shards]
    backward = [second.do(shard).end().digest for shard in reversed(shards)]
    assert forward == backward[::-1]
    assert len(set(forward)) == 4


def test_the_same_x_T_serves_every_setting(small):
    grid = settings(small.model_copy(update={"steps": (50, 100), "eta": (0.0,)}), SCHEDULE)
    worker = make(small)
    few, many = (worker.draw_batch(setting, torch.arange(16)).astype(float) for setting in grid)
    other = worker.draw_batch(grid[1], torch.arange(16, 32)).astype(float)
    assert np.abs(few - many).mean() < 0.2 * np.abs(other - many).mean()


@pytest.mark.parametrize("clip", [False, True])
def test_the_same_x_T_gives_diffusers_pictures(small, clip, monkeypatch):
    """DDIMPipeline on the same network, even τ: its scheduler's ᾱ is float32, ours float64."""
    config = small.model_copy(update={"steps": (10,), "eta": (0.0,), "clip": "always" if clip else "never"})
    (setting,) = settings(config, SCHEDULE)
    seeds = torch.arange(200)
    ours = make(config).draw_batch(setting, seeds).astype(int)
    x_T = noise.normal(0, seeds, noise.X_T_STEP, (1, 8, 8))
    monkeypatch.setattr(pipeline_ddim, "randn_tensor", lambda *_, **__: x_T)
    pipe = DDIMPipeline.from_pretrained(model_folder("digits"))
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=clip, set_alpha_to_one=True)
    pipe.set_progress_bar_config(disable=True)
    # ours derives eps anew from the clipped pred_x0, which diffusers does only when asked to
    pictures = pipe(200, num_inference_steps=10, eta=0.0, use_clipped_model_output=clip, output_type="np").images
    difference = np.abs((pictures * 255).round().astype(int) - ours)
    assert difference.max() <= 1
    # ten float32 steps leave about 1e-5 of the range, 3e-3 of a level: that share of pixels lies as near to an edge
    assert (difference > 0).mean() < 3e-3


@pytest.mark.parametrize(("column", "value"), [(0, torch.nan), (0, torch.inf), (1, torch.nan)])
def test_an_image_that_is_not_finite_is_never_written(small, value, column):
    setting = settings(small, SCHEDULE)[column]
    worker = make(small)
    healthy = worker.walker.network.network

    def broken(x_t, node, labels):
        eps = healthy(x_t, node, labels)
        return eps.index_fill(0, torch.tensor([3]), value) if node.t == 0 else eps

    worker.walker.network.network = broken
    with pytest.raises(ValueError, match="1 of 16 images are not finite, the first has seed 3.*--dtype"):
        worker.do(Shard(setting, 0, 25))
    assert not Storage(small.out).find()


def test_another_model_on_the_node_is_an_error(small, tiny_model):
    arguments = replace(Draw(open_run(small)).arguments, model=tiny_model)
    with pytest.raises(ValueError, match="is another one on this node"):
        DrawWorker("cpu", arguments)


def test_a_worker_on_a_cpu_computes_in_one_thread(small):
    """The last bit of a sum depends on the number of threads, which a machine chooses by its cores."""
    run = open_run(small)
    for make_worker, work in ((DrawWorker, Draw(run)), (ExtractWorker, Extract(run))):
        torch.set_num_threads(2)
        try:
            make_worker("cpu", work.arguments)
            assert torch.get_num_threads() == 1
        finally:
            torch.set_num_threads(1)


def test_tf32_is_no_precision_of_a_cpu(small):
    with pytest.raises(ValueError, match="tf32 is a GPU's"):
        make(small, "tf32")


def test_a_small_run_draws_no_more_than_it_needs(tmp_path):
    """And a larger one keeps the batch of its plan, also where the last shard is short."""
    for (images, shard, batch), expected in {(24, 1000, 250): 24, (300, 100, 250): 100, (2000, 500, 250): 250}.items():
        config = SweepConfig(out=str(tmp_path / str(images)), num_images=images, shard_size=shard, batch_size=batch)
        run = open_run(config)
        assert run.config.batch_size == run.identity["batch_size"] == Draw(run).arguments.batch_size == expected


def test_an_output_keeps_the_batch_that_it_was_drawn_in(tmp_path):
    config = SweepConfig(out=str(tmp_path / "out"), num_images=24, steps=(5,), eta=(0.0,))
    earlier = open_run(config, cap_batch=False)
    claim(earlier)
    assert open_run(config).identity == earlier.identity
    assert open_run(config).config.batch_size == 250


def test_a_process_that_has_served_another_work_draws_as_before(small, monkeypatch):
    """TF32 is a switch of the process, and an extractor turns it off."""
    run = open_run(small)
    worker, extractor = DrawWorker("cpu", Draw(run).arguments), ExtractWorker("cpu", Extract(run).arguments)
    monkeypatch.setattr(worker, "arguments", replace(worker.arguments, precision="tf32"))
    shard = run.shards()[0]
    worker.do(shard).end()
    assert torch.backends.cudnn.allow_tf32
    extractor.do((shard, ("",))).end()
    assert not torch.backends.cudnn.allow_tf32
    worker.do(shard).end()
    assert torch.backends.cuda.matmul.allow_tf32
    set_tf32(False)
