"""cluster.yaml's token: the commands by which Ray would set up a head and a worker, recorded in place of run."""

import re
import secrets
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.updater import NodeUpdater
from ray.autoscaler.node_provider import NodeProvider

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text())
IN_THE_CONTAINER = "/home/ray/.ray/auth_token"
ON_THE_NODE = f"/tmp/ray_tmp_mount/{CONFIG['cluster_name']}/{IN_THE_CONTAINER}"


class Provider(NodeProvider):
    """One node that is there."""

    def __init__(self):
        super().__init__({"type": "aws"}, CONFIG["cluster_name"])
        self.provider_config, self.tags = {}, {}

    def is_terminated(self, node_id):
        return False

    def node_tags(self, node_id):
        return self.tags

    def set_node_tags(self, node_id, tags):
        self.tags |= tags

    def internal_ip(self, node_id):
        return "192.0.2.1"


class Recorder:
    """What `subprocess` is to Ray, but nothing is run."""

    DEVNULL = None

    def __init__(self):
        self.commands = []

    def check_call(self, command, **_):
        self.commands.append(" ".join(command))

    def check_output(self, command, **_):
        self.check_call(command)
        # the image's variables, a program, and a container that is not there yet
        return b'["HOME=/home/ray"]' if ".Config.Env" in self.commands[-1] else b"/usr/bin/docker"


@pytest.fixture
def token(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    return tmp_path / ".ray" / "auth_token"


@pytest.fixture(params=["head", "worker"])
def commands(request, token):
    recorder = Recorder()
    NodeUpdater(
        "node",
        CONFIG["provider"],
        Provider(),
        CONFIG["auth"],
        CONFIG["cluster_name"],
        CONFIG["file_mounts"],
        CONFIG["initialization_commands"],
        CONFIG["setup_commands"],
        CONFIG[f"{request.param}_start_ray_commands"],
        "hash of the configuration",
        None,
        is_head_node=request.param == "head",
        process_runner=recorder,
        use_internal_ip=True,
        docker_config=CONFIG["docker"],
    ).do_update()
    return recorder.commands


def test_every_node_gets_the_token_and_asks_for_it(commands, token):
    (copied,) = [command for command in commands if command.startswith("rsync") and str(token) in command]
    assert copied.endswith(f" {token} {CONFIG['auth']['ssh_user']}@192.0.2.1:{ON_THE_NODE.replace('//', '/')}")
    (container,) = [command for command in commands if "docker run" in command]
    assert f" -v {ON_THE_NODE}:{IN_THE_CONTAINER} " in container
    assert " -e RAY_AUTH_MODE=token " in container
    # Ray is started in that container, after it, and nothing there says otherwise
    (start,) = [command for command in commands if "ray start" in command]
    assert "docker exec" in start
    assert commands.index(copied) < commands.index(container) < commands.index(start)
    assert not re.search("RAY_AUTH_", start)


def test_no_command_shows_the_token(commands, token):
    said = " ".join(commands)
    assert str(token) in said
    assert token.read_text() not in said
    assert "RAY_AUTH_TOKEN" not in said  # a variable that would hold it
