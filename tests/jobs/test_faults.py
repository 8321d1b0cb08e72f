"""Sweeps on local disk and on S3 that are killed, interrupted, raced and starved: nothing lost, nothing repeated."""

import json
import os
import random
import re
import resource
import signal
import time

import psutil
import pytest
from places import GRID, Place, draw_and_measure
from processes import assert_ended, run, title
from s3 import FINAL, SECRET, TRANSIENT, FaultProxy, environment, moto, options

from pipeline.storage.store import Storage

AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


@pytest.fixture(scope="module")
def proxy():
    with moto() as server, FaultProxy(server) as running:
        Storage("s3://bucket", options(server))._fs.mkdir("bucket")
        running.server = server
        yield running


@pytest.fixture
def s3(proxy, request):
    proxy.inject(None)
    name = request.node.name.replace("[", "-").strip("]")
    return lambda part="": Place(f"s3://bucket/{name}{part}", environment(proxy.url), options(proxy.server))


@pytest.fixture(params=["local", "s3"])
def places(request, tmp_path):
    """A maker of places: one for each part of the test."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return lambda part="": Place(str(tmp_path / f"out{part}"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = Place(str(tmp_path_factory.mktemp("undisturbed") / "out"))
    status, _, err = place.sweep()
    assert status == 0, err
    return place.outcome()


def disturb(places, times, hurt):
    """Start sweeps and hurt each at a random moment, `times` in all, going on in a new place when one is finished."""
    rng = random.Random(times)
    part, place = 0, places("0")
    done = []
    for _ in range(times):
        process = place.start()
        target = len(place.parquet()) + rng.randint(0, 8)  # a resumed sweep has work before it at any moment
        while process.poll() is None and len(place.parquet()) < target:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.3))
        hurt(process)
        if "metrics.json" in Storage(place.url, place.options).names():
            done.append(place)
            part, place = part + 1, places(str(part + 1))
    return [*done, place]


def finish(visited, undisturbed):
    for place in visited:
        status, _, err = place.sweep()
        assert status == 0, err
        assert place.outcome() == undisturbed


@pytest.mark.endurance
@pytest.mark.timeout(1800)
def test_sigkill_of_the_driver_at_20_random_moments(places, undisturbed):
    def hurt(process):
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        assert_ended(family, but=AGENTS)
        for member in family:  # Ray's agents would notice in a minute or two
            if member.is_running():
                member.kill()

    finish(disturb(places, 20, hurt), undisturbed)


@pytest.mark.endurance
@pytest.mark.timeout(1800)
def test_sigint_at_10_random_moments(places, undisturbed):
    def hurt(process):
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (130, 0, -signal.SIGINT), err  # -SIGINT: still importing; 0: already finished
        assert_ended(family)

    finish(disturb(places, 10, hurt), undisturbed)


@pytest.mark.endurance
@pytest.mark.timeout(1800)
def test_sigkill_of_actors_at_20_random_moments(places, undisturbed):
    rng = random.Random(0)
    kills, visited = 0, []
    while kills < 20:
        place = places(str(kills))
        visited.append(place)
        process = place.start()
        while process.poll() is None:
            time.sleep(rng.uniform(0, 1.0))
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            actors = [m for m in family if title(m).startswith("ray::Host")]
            if actors and kills < 20:
                rng.choice(actors).kill()
                kills += 1
        _, err = process.communicate()
        assert "Traceback" not in err
        if process.returncode != 0:  # a task may be hit three times: it is named, with its worker's death
            assert (process.returncode, "the sweep is not complete" in err) == (1, True), err
            assert re.search(r"^error: ddim-S20-\S+: .*(died|killed)", err, re.MULTILINE), err
    finish(visited, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_faults_at_30_percent(s3, proxy, undisturbed, fault):
    place = s3()
    proxy.inject(fault)
    quick = json.dumps(options(proxy.url, read_timeout=2))
    status, _, err = run("sweep", *GRID, "--out", place.url, "--storage-options", quick)
    hits = proxy.hits
    proxy.inject(None)
    assert status == 0, err
    assert hits > 5
    assert place.outcome() == undisturbed


@pytest.mark.slow
def test_faults_for_ever_end_the_sweep(s3, proxy):
    place = s3()
    process = place.start()
    while len(place.parquet()) < 3:
        time.sleep(0.05)
    proxy.inject("503", share=1.0)
    _, err = process.communicate()  # the test's own limit is minutes away
    assert process.returncode == 1
    assert f"{place.url}/" in err
    assert "reduce your request rate" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("fault", FINAL)
def test_a_refusal_in_mid_sweep_ends_it_at_once(s3, proxy, fault):
    place = s3()
    process = place.start()
    while len(place.parquet()) < 3:
        time.sleep(0.05)
    proxy.inject(fault, share=1.0)
    out, err = process.communicate()
    # a request of each worker and its rest, of the driver, of its page and of the result; refusals are not tried again
    assert 0 < proxy.hits <= 4 * (os.cpu_count() + 2)
    assert (process.returncode, "PermissionError" in err, place.url in err) == (1, True, True), err
    status, _, err = place.sweep()
    assert (status, len(err.splitlines()), place.url in err) == (2, 1, True), err
    assert SECRET not in out + err


@pytest.mark.slow
def test_two_drivers_on_one_output(places, undisturbed):
    place = places()
    pair = [place.start(), place.start()]
    for process in pair:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert place.outcome() == undisturbed


def images(place):
    """The paths of the image files in a place."""
    return [path for path in place.parquet() if path.startswith("images/")]


@pytest.mark.slow
def test_a_full_disk_is_a_clear_error_and_a_resume_works(tmp_path, undisturbed):
    place = Place(str(tmp_path / "out"))
    draw_and_measure(place.url)
    for path in images(place):
        (tmp_path / "out" / path).unlink()  # the features stay, so that images alone are written
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    process = place.start()
    while len(images(place)) < 2:
        time.sleep(0.05)
    for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        if title(member).startswith("ray::Host"):
            member.rlimit(psutil.RLIMIT_FSIZE, (2000, limits[1]))  # smaller than a shard
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "File too large" in err
    assert f"cannot write {place.url}/images/" in err
    assert "Traceback" not in err
    assert all(Storage(place.url).ls(path.rpartition("/")[0]) for path in place.parquet())
    finish([place], undisturbed)


@pytest.mark.slow
def test_secrets_are_nowhere(s3, proxy):
    place = s3()
    status, out, err = run("sweep", *GRID, "--out", place.url, "--storage-options", json.dumps(options(proxy.url)))
    assert status == 0, err
    storage = Storage(place.url, place.options)
    written = b"".join(storage.read(path) for path in storage.find())
    assert SECRET.encode() not in written
    assert SECRET not in out + err
    proxy.inject("500", share=1.0)
    status, out, err = run("sweep", "--out", place.url, "--storage-options", '{"secret": "' + SECRET)
    assert (status, SECRET in out + err) == (2, False)


@pytest.mark.slow
def test_a_resume_lists_once_a_setting_and_asks_for_no_shard(s3, proxy):
    place = s3()
    status, _, err = place.sweep()
    assert status == 0, err
    proxy.requests.clear()
    status, _, err = place.sweep()
    assert status == 0, err
    # a list of the top and one of each setting, and two for the links of the page; reads of sweep.json as it is opened,
    # claimed, and twice at its end for others' plans, of result.json, of a row a setting (twice), of a sample a setting
    assert proxy.requests.count("LIST") <= 1 + 2 + 2
    assert proxy.requests.count("GET") <= 4 + 1 + 2 * 2 + 2
    assert proxy.requests.count("HEAD") == 0
