import functools
import http.server
import socket
import threading
import time

import pytest

from datamodules.sources.fetching import fetch_archive, unpack_once
from tests.datamodules.sources.stand_ins import md5, pack


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    pack(tmp_path / "things.tgz", folder)
    return tmp_path / "things.tgz"


def test_an_archive_that_is_there_is_unpacked_without_a_network(tmp_path, archive):
    folder = fetch_archive(tmp_path, "things", "https://nowhere.invalid/things.tgz", md5(archive), download=False)
    assert folder == tmp_path / "things"
    assert [path.name for path in folder.iterdir()] == ["a.txt"]
    archive.unlink()
    fetch_archive(tmp_path, "things", "https://nowhere.invalid/things.tgz", "", download=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "things"], "and nothing half-made"


def test_a_damaged_archive_is_refused(tmp_path, archive):
    with pytest.raises(OSError, match=r"things\.tgz' is damaged, its MD5 is not 0123: remove it, then fetch https"):
        fetch_archive(tmp_path, "things", "https://nowhere.invalid/things.tgz", "0123", download=False)
    assert not (tmp_path / "things").exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/things.tgz"
        with pytest.raises(
            OSError, match=r"things\.tgz cannot be downloaded \(.*refused.*\): fetch http.* \(md5 0123\)"
        ) as error:
            fetch_archive(tmp_path / "new", "things", url, "0123", download=True)
    assert "\n" not in str(error.value)
    assert f"put it into '{tmp_path / 'new'}', where it is unpacked" in str(error.value)


@pytest.fixture
def server(tmp_path):
    """What serves the test's own folder on this machine."""
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_a_download_is_checked_and_unpacked(tmp_path, archive, server):
    url = f"{server}/{archive.name}"
    folder = fetch_archive(tmp_path / "new", "things", url, md5(archive), download=True)
    assert (folder / "a.txt").read_text() == "a"
    with pytest.raises(OSError, match=r"things\.tgz cannot be downloaded \(File not found or corrupted"):
        fetch_archive(tmp_path / "other", "things", url, "0123", download=True)


def test_one_makes_it_and_the_others_wait(tmp_path):
    made = []

    def unpack(part):
        made.append(part)
        (part / "inside").mkdir()
        time.sleep(0.2)
        (part / "inside" / "a.txt").write_text("a")
        return part / "inside"

    found = []

    def work():
        unpack_once(tmp_path / "folder", unpack)
        found.append((tmp_path / "folder" / "a.txt").exists())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == [True] * 3


def test_what_was_interrupted_is_begun_anew(tmp_path):
    def fail(part):
        (part / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        unpack_once(tmp_path / "folder", fail)
    assert not (tmp_path / "folder").exists()
    unpack_once(tmp_path / "folder", lambda part: part)
    assert list((tmp_path / "folder").iterdir()) == []
