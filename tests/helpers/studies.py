"""Studies in this process: opened, done, killed in the middle, damaged."""

from in_process import InProcess

from pipeline.diffusion.network import UNet
from pipeline.work.claim import claim
from pipeline.work.inventory import take_inventory
from pipeline.work.perform import perform
from pipeline.work.verify import verify


def do(work):
    """Claim the study's output and do what is missing."""
    claim(work.study)
    perform(work, InProcess())
    return work


def digests(work):
    """Path → content of all files that the work owns; Parquet is written in the same bytes each time."""
    return {file.path: work.study.storage.read(file.path) for file in files(work)}


def files(work):
    return [work.file(task.item) for task in work.planned()]


def kill_after(monkeypatch, worker, count):
    """Let a worker do so many tasks and then be interrupted."""
    do_one, left = worker.do, [count]

    def counted(self, item):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return do_one(self, item)

    monkeypatch.setattr(worker, "do", counted)


def sizes_of_calls(monkeypatch, work):
    """Do the study and return how many images its network calls had, and their channels and size."""
    seen, call = set(), UNet.__call__
    monkeypatch.setattr(UNet, "__call__", lambda self, x_t, *more: seen.add(tuple(x_t.shape)) or call(self, x_t, *more))
    do(work)
    return seen


def problems(work):
    inventory = take_inventory(work.study.out, None)
    return [(problem.path, problem.kind) for problem in verify(inventory, InProcess())]


def assert_a_flipped_bit_is_found(work):
    """In the middle of every file in turn, and of the first file of the output."""
    assert problems(work) == []
    storage = work.study.storage
    for path in [file.path for file in files(work)]:
        whole = storage.read(path)
        storage.write(path, whole[:200] + bytes([whole[200] ^ 4]) + whole[201:])
        assert problems(work) == [(path, "bad")], path
        storage.write(path, whole)
    path = files(work)[0].path
    storage.move(path, f"_set-aside/{path}")
    assert problems(work) == [(path, "missing")]
    storage.move(f"_set-aside/{path}", path)
    storage.write("more.txt", b"x")
    assert problems(work) == [("more.txt", "surplus")]
    storage.move("more.txt", "_set-aside/more.txt")
