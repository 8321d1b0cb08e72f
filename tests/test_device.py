"""The device's name: what tells two machines apart whose speeds are not to be compared."""

import pytest
import torch

from pipeline import device

EPYC = """\
processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC

processor\t: 1
model name\t: AMD EPYC
"""


@pytest.mark.parametrize(
    ("cpuinfo", "cores", "name"),
    [
        (EPYC, 2, "AMD EPYC (family 25, model 17), 2 cores"),
        (EPYC, 64, "AMD EPYC (family 25, model 17), 64 cores"),
        (EPYC.replace("model\t\t: 17", "model\t\t: 1"), 2, "AMD EPYC (family 25, model 1), 2 cores"),
        ("model name\t: ARM\n", 4, "ARM, 4 cores"),
        (None, 8, "Apple M4, 8 cores"),
    ],
)
def test_a_processor_has_its_family_model_and_cores(tmp_path, monkeypatch, cpuinfo, cores, name):
    monkeypatch.setattr(device, "_CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(device.platform, "processor", lambda: "Apple M4")
    monkeypatch.setattr(device.os, "cpu_count", lambda: cores)
    assert device.device_name("cpu") == name


def test_a_gpu_has_its_own_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert device.device_name("cuda") == "NVIDIA H100"
