"""The sampler worker: the same pixels however the work is cut, and what its files say."""

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler
from diffusers.pipelines.ddim import pipeline_ddim

from pipeline.diffusion import checkpoint as unet
from pipeline.diffusion import noise
from pipeline.diffusion.samplers import ddim
from pipeline.storage.local import model_folder
from pipeline.storage.store import Storage
from pipeline.sweep.grid import settings
from pipeline.sweep.images import read_images
from pipeline.sweep.shards import Shard, plan
from pipeline.work.draw import Sampler


def make(config, precision="float32"):
    digest = unet.describe(model_folder(config.model)).digest
    return Sampler("cpu", config.out, None, config.model, digest, precision, config.seed, config.batch_size, "f")


def test_a_shard_is_what_the_sampler_draws_image_by_image(small):
    setting = settings(small, 1000)[1]
    sampler = make(small)
    drawn = sampler.draw_shard(Shard(setting, 25, 50))
    images, info = read_images(Storage(small.out), Shard(setting, 25, 50), "f")
    assert (drawn.rows, drawn.digest) == (25, info.digest)
    info_of_model = unet.describe(model_folder("digits"))
    alphas = info_of_model.alphas_cumprod()
    for seed in (25, 41, 49):
        seeds = torch.tensor([seed])
        draw = lambda step, seeds=seeds: noise.normal(0, seeds, step, (1, 8, 8))  # noqa: E731
        x_0 = ddim.sample(sampler.eps_model, draw(noise.X_T_STEP), list(setting.tau), alphas, draw, "hat", clip=True)
        alone = ddim.to_uint8(x_0)[0, 0].numpy().astype(int)
        # a batch of one sums in another order: rare pixels on the edge of a rounding move by one
        assert np.abs(alone - images[seed - 25, :, :, 0]).max() <= 1


def test_the_plan_alone_fixes_the_bits(small):
    setting = settings(small, 1000)[0]
    shards = plan(setting, 90, 25)
    first, second = make(small), make(small)
    forward = [first.draw_shard(shard).digest for shard in shards]
    backward = [second.draw_shard(shard).digest for shard in reversed(shards)]
    assert forward == backward[::-1]
    assert len(set(forward)) == 4


def test_the_same_x_T_serves_every_setting(small):
    grid = settings(small.model_copy(update={"steps": (50, 100), "eta": (0.0,)}), 1000)
    sampler = make(small)
    few, many = (sampler.draw_batch(setting, torch.arange(16)).astype(float) for setting in grid)
    other = sampler.draw_batch(grid[1], torch.arange(16, 32)).astype(float)
    assert np.abs(few - many).mean() < 0.2 * np.abs(other - many).mean()


@pytest.mark.parametrize("clip", [False, True])
def test_the_same_x_T_gives_diffusers_pictures(small, clip, monkeypatch):
    """DDIMPipeline on the same network, even τ: its scheduler's ᾱ is float32, ours float64."""
    config = small.model_copy(update={"steps": (10,), "eta": (0.0,), "clip": "always" if clip else "never"})
    (setting,) = settings(config, 1000)
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
    setting = settings(small, 1000)[column]
    sampler = make(small)
    healthy = sampler.eps_model

    def broken(x_t, t):
        eps = healthy(x_t, t)
        return eps.index_fill(0, torch.tensor([3]), value) if t == setting.tau[0] else eps

    sampler.eps_model = broken
    with pytest.raises(ValueError, match="1 of 16 images are not finite, the first has seed 3.*--dtype float32"):
        sampler.draw_shard(Shard(setting, 0, 25))
    assert not Storage(small.out).find()


def test_another_model_on_the_node_is_an_error(small, tiny_model):
    with pytest.raises(ValueError, match="is another one on this node"):
        Sampler("cpu", small.out, None, tiny_model, "0" * 64, "float32", 0, 16, "f")
