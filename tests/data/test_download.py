"""Downloads from a local server: resume, bad mirrors, full disks, no network."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minigan.data.download import DownloadError, _part_of, cache_dir, fetch, reachable
from minigan.errors import DataError

CONTENT = os.urandom(300_000)


class Handler(BaseHTTPRequestHandler):
    """/good serves ranges, /plain ignores them; the others misbehave as they are named."""

    def do_GET(self) -> None:
        kind = self.path.strip("/")
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.requests.append((kind, start))  # type: ignore[attr-defined]
        body = CONTENT
        if kind == "missing":
            return self.send_error(404)
        if kind == "corrupt":
            body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
        if kind == "plain":
            start = 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        claimed = 7 if kind == "wrong-byte" and start else start
        if start:
            self.send_header("Content-Range", f"bytes {claimed}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if kind == "breaks-once" and start == 0:
            rest = rest[:100_000]
        if kind == "breaks-always":
            rest = rest[:10_000]
        if kind == "says-nothing":
            rest = b""
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def get(server, tmp_path):
    """get(*kinds) fetches from these mirrors in turn and returns the file."""
    target = tmp_path / "folder" / "file.gz"

    def get(*kinds: str) -> Path:
        server.requests.clear()
        fetch([f"http://127.0.0.1:{server.server_port}/{kind}" for kind in kinds], target, verify)
        assert target.read_bytes() == CONTENT
        assert not list(target.parent.glob("*.part"))
        return target

    return get


def verify(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise DataError(f"{path}: corrupt")


def parts(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "folder").glob("*.part"))


def test_a_good_mirror(get, server):
    assert get("good").name == "file.gz"
    assert server.requests == [("good", 0)]


def test_a_file_that_is_there_is_not_fetched_again(get, server):
    get("good")
    get("good")
    assert server.requests == []


def test_a_broken_transfer_goes_on_where_it_stopped(get, server):
    get("breaks-once")
    assert server.requests == [("breaks-once", 0), ("breaks-once", 100_000)]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(get, server, tmp_path):
    with pytest.raises(DownloadError, match="ended after 30,000 of 300,000 bytes"):
        get("breaks-always")
    assert [path.stat().st_size for path in parts(tmp_path)] == [30_000]
    part = parts(tmp_path)[0]
    part.write_bytes(CONTENT[:270_000])
    get("breaks-always")
    assert server.requests[0] == ("breaks-always", 270_000)


@pytest.mark.parametrize("bad", ["missing", "corrupt", "says-nothing", "breaks-always"])
def test_the_next_mirror_takes_over_from_the_start(get, server, bad):
    get(bad, "good")
    assert server.requests[0] == (bad, 0)
    assert server.requests[-1] == ("good", 0)


def test_a_part_is_resumed_from_its_own_mirror_only(get, server, tmp_path):
    """Mirrors may pack the same data into different bytes."""
    with pytest.raises(DownloadError):
        get("breaks-always")
    assert parts(tmp_path)
    get("good")
    assert server.requests == [("good", 0)]


@pytest.mark.parametrize("size", [500, len(CONTENT), len(CONTENT) + 5])
@pytest.mark.parametrize("kind", ["good", "plain", "wrong-byte"])
def test_a_wrong_part_is_thrown_away(get, server, tmp_path, kind, size):
    target = tmp_path / "folder" / "file.gz"
    target.parent.mkdir()
    _part_of(target, f"http://127.0.0.1:{server.server_port}/{kind}").write_bytes(b"x" * size)
    get(kind)
    assert server.requests[0] == (kind, size)
    # /plain sent the whole file at the first request, whatever was asked
    assert server.requests[1:] == ([] if kind == "plain" else [(kind, 0)])


def test_a_part_that_was_whole_needs_no_transfer(get, server, tmp_path):
    target = tmp_path / "folder" / "file.gz"
    target.parent.mkdir()
    _part_of(target, f"http://127.0.0.1:{server.server_port}/good").write_bytes(CONTENT)
    get("good")
    assert server.requests == [("good", len(CONTENT))]


def test_no_mirror_left(get, tmp_path):
    with pytest.raises(DownloadError) as error:
        get("missing", "corrupt")
    message = str(error.value)
    assert "file.gz: 127.0.0.1" in message and "404" in message and "checksum" in message
    assert "\n" not in message
    assert not (tmp_path / "folder" / "file.gz").exists()
    assert not parts(tmp_path)


def test_refused_connection_is_a_failed_mirror(tmp_path):
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(DownloadError, match="refused"):
            fetch([url], tmp_path / "x", verify)
        assert reachable([url]) == []


def test_a_full_disk_is_one_line_and_leaves_no_target(get, monkeypatch, tmp_path):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("minigan.data.download.os.fsync", full)
    with pytest.raises(DataError, match="cannot write .*No space left.*MINIGAN_CACHE") as error:
        get("good")
    assert not isinstance(error.value, DownloadError)  # not a reason to fall back silently
    assert "\n" not in str(error.value)
    assert not (tmp_path / "folder" / "file.gz").exists()


def test_a_folder_that_cannot_be_made(get, tmp_path):
    (tmp_path / "folder").write_text("a file in the way")
    with pytest.raises(DataError, match="cannot write .*folder"):
        get("good")


def test_a_mirror_cannot_fill_the_disk(get, monkeypatch):
    monkeypatch.setattr("minigan.data.download._MAX_BYTES", 100_000)
    with pytest.raises(DownloadError, match="larger than 100,000"):
        get("good")


def test_two_at_once_fetch_once(server, tmp_path):
    pytest.importorskip("fcntl", reason="needs flock")
    url = f"http://127.0.0.1:{server.server_port}/good"
    target = tmp_path / "file.gz"
    threads = [threading.Thread(target=fetch, args=([url], target, verify)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert server.requests == [("good", 0)]


def test_reachable_keeps_the_order_and_drops_the_dead(server):
    alive = f"http://127.0.0.1:{server.server_port}/"
    dead = "http://nowhere.invalid/"
    assert reachable([alive + "a", dead, alive + "b"]) == [alive + "a", alive + "b"]


def test_reachable_asks_the_proxy(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.server_port}")
    assert reachable(["http://nowhere.invalid/"]) == ["http://nowhere.invalid/"]
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    assert reachable(["http://nowhere.invalid/"]) == []


def test_a_hanging_name_lookup_is_not_waited_for(monkeypatch):
    release = threading.Event()

    def hang(*_: object, **__: object) -> None:
        release.wait()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    started = time.monotonic()
    assert reachable(["http://a/", "http://b/"], seconds=0.05) == []
    assert time.monotonic() - started < 30  # it returned while the lookups still hang
    release.set()


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MINIGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "minigan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "minigan"


def test_gzip_content_is_stored_as_sent(tmp_path, monkeypatch, server):
    """The server's bytes are the file: no transparent decompression changes the checksum."""
    packed = gzip.compress(b"data")
    monkeypatch.setitem(globals(), "CONTENT", packed)
    fetch([f"http://127.0.0.1:{server.server_port}/good"], tmp_path / "x.gz", verify)
    assert (tmp_path / "x.gz").read_bytes() == packed
