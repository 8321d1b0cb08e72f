"""cluster.yaml: Ray's own validator, and what that misses."""

import copy
import tomllib
from pathlib import Path

import botocore.loaders
import botocore.model
import botocore.validate
import pytest
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "cluster.yaml").read_text())
REQUIREMENTS = {
    requirement.name: requirement
    for requirement in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
}
TYPES = CONFIG["available_node_types"]


def test_rays_validator_takes_it_and_adds_nothing():
    prepared = prepare_config(copy.deepcopy(CONFIG))
    validate_config(prepared)
    assert prepared.keys() == CONFIG.keys()  # a key that is left out becomes a default of Ray's
    assert prepared["docker"] == CONFIG["docker"]
    assert prepared["available_node_types"] == TYPES
    # Ray puts its dependencies for the provider before ours, and takes none of ours away
    assert prepared["setup_commands"] == CONFIG["setup_commands"]
    assert prepared["head_setup_commands"][-1] == CONFIG["head_setup_commands"][-1]


def test_the_validator_sees_a_wrong_key():
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(CONFIG | {"idle_timeout": 5}))


def test_no_legacy_key_is_there():
    assert not {"min_workers", "initial_workers", "head_node", "worker_nodes", "autoscaling_mode"} & CONFIG.keys()


@pytest.mark.parametrize("image", ["head_image", "worker_image"])
def test_the_images_ray_and_python_are_the_projects(image):
    name, _, tag = CONFIG["docker"][image].partition(":")
    version, python, kind = tag.split("-")
    assert name == "rayproject/ray"
    assert REQUIREMENTS["ray"].specifier.contains(version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(f"{python[2]}.{python[3:]}")
    assert kind == {"head_image": "cpu", "worker_image": "gpu"}[image]


def test_both_images_are_of_one_ray_and_one_python():
    head, worker = (CONFIG["docker"][image].rpartition("-")[0] for image in ("head_image", "worker_image"))
    assert head == worker


def test_every_dependency_is_pinned_once_within_its_bounds():
    (command,) = CONFIG["setup_commands"]
    assert command.startswith("pip install --no-cache-dir ")
    pins = [Requirement(word) for word in command.split()[3:]]
    assert sorted(pin.name for pin in pins) == sorted(REQUIREMENTS.keys() - {"ray"})
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert REQUIREMENTS[pin.name].specifier.contains(exact.version), pin


@pytest.mark.parametrize("name", TYPES)
def test_node_configs_are_what_ec2_takes(name):
    """By botocore's own model of RunInstances; Ray hands the rest of a node_config on as it is."""
    model = botocore.loaders.Loader().load_service_model("ec2", "service-2")
    shape = botocore.model.ServiceModel(model).operation_model("RunInstances").input_shape
    report = botocore.validate.ParamValidator().validate(
        TYPES[name]["node_config"] | {"MinCount": 1, "MaxCount": 1}, shape
    )
    assert not report.has_errors(), report.generate_report()
    assert TYPES[name]["node_config"]["IamInstanceProfile"]["Name"]  # S3 without a key anywhere


def test_no_work_lands_on_the_head_and_gpus_are_spot_and_on_demand():
    assert TYPES[CONFIG["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    workers = {name: node for name, node in TYPES.items() if name != CONFIG["head_node_type"]}
    markets = {name: node["node_config"].get("InstanceMarketOptions", {}) for name, node in workers.items()}
    assert sorted(market.get("MarketType", "on-demand") for market in markets.values()) == ["on-demand", "spot"]
    assert "InstanceMarketOptions" not in TYPES[CONFIG["head_node_type"]]["node_config"]
    for node in workers.values():
        assert node["resources"]["GPU"] >= 1
        assert node["min_workers"] == 0
    assert sum(node["max_workers"] for node in workers.values()) <= CONFIG["max_workers"]
    assert 0 < CONFIG["idle_timeout_minutes"] <= 15


def test_the_dashboard_is_on_loopback_and_the_autoscaler_runs():
    (start,) = [command for command in CONFIG["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start
    assert any("boto3" in command for command in CONFIG["head_setup_commands"])
    assert any(option.startswith("--shm-size=") for option in CONFIG["docker"]["run_options"])
