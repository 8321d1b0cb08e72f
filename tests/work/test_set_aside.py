"""Setting files aside: nothing is lost, whatever has been set aside before."""

from in_process import InProcess

from pipeline.sweep.run import open_run
from pipeline.work.claim import claim
from pipeline.work.inventory import Inventory
from pipeline.work.verify import set_aside, verify


def test_a_second_file_of_the_same_name_is_set_aside_beside_the_first(small):
    run = open_run(small)
    claim(run)
    for content in (b"one", b"two", b"three"):
        run.storage.write("notes.txt", content)
        inventory = Inventory(run)
        surplus = [problem for problem in verify(inventory, InProcess()) if problem.kind == "surplus"]
        assert set_aside(inventory, surplus) == ["notes.txt"]
    names = ["_set-aside/notes.txt", "_set-aside/notes.txt.1", "_set-aside/notes.txt.2"]
    assert [run.storage.read(name) for name in names] == [b"one", b"two", b"three"]
    assert {name for name in run.storage.find() if "notes" in name} == {*names}
