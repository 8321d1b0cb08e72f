"""Storage: what is committed is whole, what is listed is there, and a crash leaves nothing half-written."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.storage.store import DamagedFileError, Storage, StorageError


def refuse(table, metadata):
    raise ValueError("not as it should be")


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path):
    return Storage(str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path.name}/out")


def test_written_files_are_listed_and_read(storage):
    assert storage.ls("images") == {}
    storage.write("images/a.bin", b"123")
    storage.write("images/a.bin", b"12345")
    storage.write_json("images/sub/b.json", {"x": [1]})
    assert storage.ls("images") == {"a.bin": 5}
    assert storage.read("images/a.bin") == b"12345"
    assert storage.read_json("images/sub/b.json") == {"x": [1]}
    with pytest.raises(FileNotFoundError):
        storage.read("images/none")


@pytest.mark.parametrize("url", ["", "s3://", "file://", "simplecache::s3://bucket/a"])
def test_what_names_no_folder_is_refused(url):
    with pytest.raises(ValueError, match="give a folder, or one URL of one"):
        Storage(url)


def test_a_file_is_no_folder(storage):
    storage.write("sub/a", b"1")
    assert Storage(f"{storage.url}/sub").names() == ["a"]
    with pytest.raises(NotADirectoryError, match="it is a file"):
        Storage(f"{storage.url}/sub/a").names()


def test_the_root_of_the_disk_is_not_where_we_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "etc" in Storage("/").names()
    assert Storage("/").read("etc/hostname") == Path("/etc/hostname").read_bytes()


@pytest.mark.parametrize("content", [b"[1]", b'{"a": 1}'])
def test_json_of_others_is_told_from_damage(storage, content):
    storage.write("a.json", content)
    with pytest.raises(DamagedFileError, match="it does not carry its digest"):
        storage.read_json("a.json")


def test_files_are_dated(storage):
    before = time.time()
    storage.write("images/a.bin", b"12")
    size, written = storage.dated("images")["a.bin"]
    assert size == 2
    assert before - 2 <= written <= time.time() + 2
    assert storage.dated("nowhere") == {}


def test_tables_carry_their_metadata(storage):
    table = pa.table({"seed": [1, 2], "text": ["x", "x"]})
    size = storage.write_table("t.parquet", table, {"rows": 2}, row_group_size=1, dictionary=["text"])
    assert storage.ls("") == {"t.parquet": size}
    back, metadata = storage.read_table("t.parquet", lambda *content: content)
    assert back.equals(table)
    assert metadata["rows"] == 2
    with pytest.raises(DamagedFileError, match=r"t\.parquet: not as it should be"):
        storage.read_table("t.parquet", refuse)


def test_a_flipped_bit_in_a_page_is_an_error(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write_table("t.parquet", pa.table({"seed": list(range(1000))}), {}, row_group_size=1000)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[200] ^= 4
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(DamagedFileError, match="CRC|checksum|digest"):
        storage.read_table("t.parquet", lambda *content: content)


def test_a_changed_digit_in_json_is_an_error(storage):
    storage.write_json("a.json", {"fid": 4.86, "steps": [5, 10]})
    storage.write("a.json", storage.read("a.json").replace(b"4.86", b"4.96"))
    with pytest.raises(DamagedFileError, match=r"a\.json: the content does not match its digest"):
        storage.read_json("a.json")
    with pytest.raises(DamagedFileError, match=r"none\.json is missing"):
        storage.read_json("none.json")


def test_what_only_the_reading_corrupts_is_read_again(storage, monkeypatch):
    storage.write_json("a.json", {"fid": 4.86})
    whole = storage.read("a.json")
    answers = iter([b"", whole[:-9], whole.replace(b"8", b"9"), whole])
    monkeypatch.setattr(storage, "read", lambda path: next(answers))
    assert storage.read_json("a.json") == {"fid": 4.86}


def test_files_are_found_and_moved(storage):
    storage.write("a/b.bin", b"12")
    storage.move("a/b.bin", "_set-aside/a/b.bin")
    assert storage.find() == {"_set-aside/a/b.bin": 2}


def test_a_commit_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """After a loss of power a name without its content, or a file without its name, would be no commit."""
    done, data = [], b"x" * 100  # few enough to wait in the handle

    def fsync(handle, really=os.fsync):
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            assert found.st_ino == (tmp_path / "folder").stat().st_ino
            done.append("fsync of the folder")
        else:
            done.append(f"fsync of {found.st_size} bytes")
        really(handle)

    def replace(source, target, really=os.replace):
        done.append(f"rename to {Path(target).name}")
        really(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", replace)
    Storage(str(tmp_path)).write("folder/file", data)
    assert done == ["fsync of 100 bytes", "rename to file", "fsync of the folder"]
    assert (tmp_path / "folder" / "file").read_bytes() == data


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write("a", b"old")
    with pytest.raises(TypeError):
        storage.write("a", "not bytes")  # type: ignore[arg-type]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert storage.read("a") == b"old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more_ends_the_run_and_another_error_its_task_alone(tmp_path, monkeypatch, number):
    def fsync(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    kind, says = (OSError, "") if number == errno.EIO else (StorageError, f"cannot write {tmp_path}/a: OSError: ")
    with pytest.raises(kind, match=f"^{says}.*{os.strerror(number)}"):
        Storage(str(tmp_path)).write("a", b"x")
    assert [*tmp_path.iterdir()] == []


def test_a_writer_killed_at_any_moment_leaves_whole_files_only(tmp_path):
    """SIGKILL at 10 moments while a process writes the same 8 MB over and over, alternating two contents."""
    program = textwrap.dedent(
        """
        from pipeline.storage.store import DamagedFileError, Storage
        storage = Storage({!r})
        print("ready", flush=True)
        while True:
            for byte in (b"a", b"b"):
                storage.write("folder/file", byte * 8_000_000)
        """
    ).format(str(tmp_path))
    storage = Storage(str(tmp_path))
    left = 0
    for i in range(10):
        writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        writer.stdout.readline()
        try:
            writer.wait(0.03 * (i + 1))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        files = list(Path(tmp_path).rglob("*"))
        left += sum(file.suffix == ".tmp" for file in files)
        if "file" in storage.ls("folder"):
            content = storage.read("folder/file")
            assert content in (b"a" * 8_000_000, b"b" * 8_000_000)
        assert storage.ls("folder").keys() <= {"file", *(f.name for f in files if f.suffix == ".tmp")}
        storage.remove_stale_temporaries()
        assert not list(Path(tmp_path).rglob("*.tmp"))
    assert left > 0  # else the kills missed every write and the test showed nothing


def test_the_temporary_of_a_live_writer_or_of_one_elsewhere_stays(tmp_path):
    """On a disk that machines share, the process of another one cannot be looked up."""
    storage = Storage(str(tmp_path))
    storage.write("folder/file", b"x")
    here, dead = socket.gethostname(), 2**22 + 1  # above the largest that Linux gives
    writers = {(here, os.getpid()): True, (here, dead): False, ("another-machine", dead): True}
    for host, pid in writers:
        (tmp_path / "folder" / f".file.{host}.{pid}.{'0' * 32}.tmp").write_bytes(b"half")
    storage.remove_stale_temporaries()
    left = [*(tmp_path / "folder").glob(".*.tmp")]
    assert {file.name for file in left} == {
        f".file.{host}.{pid}.{'0' * 32}.tmp" for (host, pid), stays in writers.items() if stays
    }
