"""The config: what is accepted, how bad input is said, and what a fingerprint stands for."""

import json

import pytest

from pipeline import UserError
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.config import SweepConfig, make_config

M = {"model": "m"}


def test_the_command_lines_words_become_values():
    config = make_config(None, None, {"steps": ["5", "10"], "eta": ["0", "0.2", "hat"], "num_images": "30"})
    assert (config.steps, config.eta, config.num_images) == ((5, 10), (0.0, 0.2, "hat"), 30)


def test_the_largest_seed_is_the_generators():
    assert make_config(None, None, {"seed": str(2**64 - 1)}).seed == 2**64 - 1


def test_repeated_values_count_once():
    assert make_config(None, None, {"eta": ["0", "0.0", "hat", "hat"]}).eta == (0.0, "hat")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"steps": ["0"]}, r"--steps: .*greater than or equal to 1 \(got '0'\)"),
        ({"steps": ["ten"]}, "--steps: .*integer"),
        ({"eta": ["-0.1"]}, r"--eta: must be a number from 0 to 1, or hat \(got '-0.1'\)"),
        ({"eta": ["nan"]}, "--eta"),
        ({"eta": ["inf"]}, "--eta"),
        ({"eta": ["1.5"]}, "--eta"),
        ({"eta": ["fat"]}, "--eta"),
        ({"spacing": ["cubic"]}, "--spacing: unknown spacing 'cubic': use linear, quadratic, paper-linear"),
        ({"spacing": ["0,39.5,nan"]}, "--spacing: spacing '0,39.5,nan' must be a strictly increasing list of times"),
        ({"num_images": "1"}, "--num-images: .*2"),
        ({"shard_size": "0"}, "--shard-size: .*1"),
        ({"batch_size": "-1"}, "--batch-size"),
        ({"seed": "-1"}, "--seed"),
        ({"seed": str(2**64)}, "--seed: input should be less than 18446744073709551616"),
        ({"steps": []}, "--steps: give at least one value"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(overrides, says):
    with pytest.raises(UserError, match=says) as error:
        make_config(None, None, overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("extractors", "given", "weights"),
    [
        (["vgg16"], ["w.pth"], {"vgg16": "w.pth"}),
        (["vgg16"], ["s3://b/seed=1.pth"], {"vgg16": "s3://b/seed=1.pth"}),
        (["vgg16", "clip-rn50"], ["clip-rn50=w.pt"], {"clip-rn50": "w.pt"}),
        (["vgg16", "clip-rn50"], ["clip-rn50=w.pt", "vgg16=a=b"], {"clip-rn50": "w.pt", "vgg16": "a=b"}),
    ],
)
def test_weights_go_with_the_extractor_that_they_name(extractors, given, weights):
    config = make_config(None, None, {"extractor": extractors, "extractor_weights": given})
    assert (config.extractor, config.extractor_weights) == (tuple(extractors), weights)


@pytest.mark.parametrize("saved", [{"extractor": "vgg16", "extractor_weights": "w.pth"}, None])
def test_saved_weights_stay_with_their_extractor(saved, tmp_path):
    """Also in the config of an earlier release, which had one extractor, as text."""
    now = SweepConfig(extractor=("vgg16",), extractor_weights=("w.pth",))
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps({"config": now.model_dump() | (saved or {})}))
    assert make_config(None, file, {}) == now
    two = make_config(None, file, {"extractor": ["clip-rn50", "vgg16"], "extractor_weights": ["clip-rn50=c.pt"]})
    assert two.extractor_weights == {"vgg16": "w.pth", "clip-rn50": "c.pt"}
    assert make_config(None, file, {"extractor": ["clip-rn50"]}).extractor_weights == {}


def test_an_unknown_preset_is_named():
    with pytest.raises(UserError, match="unknown preset 'imagenet': use digits"):
        make_config("imagenet", None, {})


def test_a_saved_config_runs_again_with_what_is_overridden(tmp_path):
    file = tmp_path / "sweep.json"
    saved = SweepConfig(steps=(7,), spacing=("0,5",), eta=("hat", 0.5))
    file.write_text(json.dumps({"config": saved.model_dump()}))
    assert make_config(None, file, {}) == saved
    assert make_config(None, file, {"seed": "3"}) == saved.model_copy(update={"seed": 3})


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"config": 3}', '{"config": {"stepz": [1]}}'])
def test_a_broken_config_file_is_named(tmp_path, content):
    file = tmp_path / "sweep.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"sweep\.json") as error:
        make_config(None, file, {})
    assert "\n" not in str(error.value)


def test_a_missing_config_file_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        make_config(None, tmp_path / "none.json", {})
    with pytest.raises(UserError, match="exclude each other"):
        make_config("digits", tmp_path / "none.json", {})


def test_the_fingerprint_follows_the_pixels_and_not_the_grid():
    base = SweepConfig()
    same = base.model_copy(update={"steps": (7,), "eta": (0.3,), "spacing": ("quadratic",), "out": "elsewhere"})
    assert fingerprint(base.identity(M)) == fingerprint(same.identity(M))
    others = [
        base.model_copy(update={name: 77}).identity(M) for name in ("seed", "num_images", "batch_size", "shard_size")
    ]
    assert len({fingerprint(i) for i in [base.identity(M), base.identity({"model": "n"}), *others]}) == 6


@pytest.mark.parametrize(
    ("overrides", "slugs"),
    [
        ({}, ["eta0", "eta0.2", "eta0.5", "eta1", "etahat"]),
        ({"sampler": ["ddim"]}, ["eta0"]),
        ({"sampler": ["ddim"], "eta": ["0.5", "hat"]}, ["eta0.5", "etahat"]),
        ({"sampler": ["ddim:eta=1"]}, ["eta1"]),
        ({"sampler": ["ddim:eta=1", "ddim"], "eta": ["0", "1"]}, ["eta1", "eta0"]),
        ({"sampler": ["ddim", "dpmpp_2m_sde"]}, ["eta0", ""]),  # each its own default
        ({"sampler": ["ddim", "dpmpp_2m_sde", "heun"], "eta": ["0.5"]}, ["eta0.5", "eta0.5", ""]),
        ({"sampler": ["euler_a", "euler", "DDIMScheduler"]}, ["eta1", "eta0"]),
        ({"sampler": ["unipc", "unipc:order=2", "unipc:order=3,end=zero"]}, ["", "order3-endzero"]),
        ({"sampler": ["unipc", "unipc:lower_order_final=always", "dpmpp_2m:lower_order_final=10"]}, ["", ""]),
        ({"sampler": ["dpmpp_2m:lower_order_final=015"]}, ["lower_order_final15"]),
    ],
)
def test_samplers_have_their_own_options_or_the_grids(overrides, slugs):
    assert [sampler.slug for sampler in make_config(None, None, overrides).samplers()] == slugs


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"sampler": ["dim"]}, "--sampler: unknown sampler 'dim': use ddim"),
        ({"sampler": ["ddim:order=3"]}, "--sampler: ddim has no option 'order': it has eta"),
        ({"sampler": ["ddim:eta=2"]}, "--sampler: ddim:eta: must be a number from 0 to 1, or hat"),
        ({"sampler": ["ddim:eta=1"], "eta": ["0"]}, "--eta: none of the samplers takes it"),
    ],
)
def test_a_sampler_that_cannot_be_is_one_line(overrides, says):
    with pytest.raises(UserError, match=says) as error:
        make_config(None, None, overrides)
    assert "\n" not in str(error.value)


def test_a_config_from_before_samplers_had_names_runs_again(tmp_path):
    saved = SweepConfig(eta=(0.0, 0.5), spacing=("linear",)).model_dump()
    del saved["sampler"]
    (tmp_path / "sweep.json").write_text(json.dumps({"config": saved}))
    config = make_config(None, tmp_path / "sweep.json", {})
    assert [(s.name, s.eta, config.spacings(s)) for s in config.samplers()] == [
        ("ddim", 0.0, ("linear",)),
        ("ddim", 0.5, ("linear",)),
    ]
