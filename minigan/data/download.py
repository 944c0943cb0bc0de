"""Download a file from the first mirror that delivers it whole: resumed, verified, then renamed."""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from minigan.errors import DataError
from minigan.progress_bar import progress_bar

_PROBE_SECONDS = 2.5
_READ_SECONDS = 15.0
_ATTEMPTS = 3
_CHUNK = 1 << 16
_MAX_BYTES = 1 << 28  # no file that minigan fetches comes near; a mirror cannot fill the disk


class DownloadError(DataError):
    """No mirror delivered the file."""


class _MirrorFailed(Exception):
    """What went wrong with one attempt at one mirror."""


def cache_dir() -> Path:
    """$MINIGAN_CACHE, or minigan/ in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("MINIGAN_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "minigan"


def is_offline() -> bool:
    """Whether MINIGAN_OFFLINE asks for no downloads."""
    return os.environ.get("MINIGAN_OFFLINE", "0") not in ("", "0")


def reachable(urls: Sequence[str], seconds: float = _PROBE_SECONDS) -> list[str]:
    """The URLs whose host (or proxy) takes a connection within `seconds`, in the given order.

    Threads, because a name lookup has no timeout of its own: without a network it can block for
    much longer than a user should wait for the embedded sample.
    """
    answers: queue.Queue[tuple[str, bool]] = queue.Queue()
    for url in urls:
        threading.Thread(target=_probe, args=(url, seconds, answers), daemon=True).start()
    deadline = time.monotonic() + seconds
    alive = []
    for _ in urls:
        try:
            url, connected = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if connected:
            alive.append(url)
    return [url for url in urls if url in alive]


def _probe(url: str, seconds: float, answers: queue.Queue[tuple[str, bool]]) -> None:
    try:
        socket.create_connection(_endpoint(url), timeout=seconds).close()
    except (OSError, ValueError):  # ValueError: a proxy setting that is no address
        answers.put((url, False))
    else:
        answers.put((url, True))


def _endpoint(url: str) -> tuple[str, int]:
    """Host and port that a request for `url` connects to."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host = parts.hostname or ""
    return host, parts.port or (443 if parts.scheme == "https" else 80)


def fetch(urls: Sequence[str], target: Path, verify: Callable[[Path], object]) -> None:
    """Fetch `target` from the first of `urls` whose file passes `verify` (which raises DataError).

    A transfer that breaks off goes on where it stopped, in this call or in a later one. `target`
    appears whole or not at all. Raises DownloadError when every mirror failed, and DataError when
    the folder cannot be written.
    """
    reasons = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f".{target.name}.lock")):
            if target.exists():  # another process fetched it while this one waited
                return
            for url in urls:
                try:
                    _from_mirror(url, target, verify)
                except _MirrorFailed as failure:
                    reasons.append(f"{urlsplit(url).netloc}: {failure}")
                else:
                    for rest in target.parent.glob(f"{target.name}.*.part"):
                        rest.unlink()
                    return
    except OSError as error:
        raise DataError(
            f"cannot write {error.filename or target}: {error.strerror or error}; free some space "
            "or set MINIGAN_CACHE to a folder that can be written"
        ) from None
    raise DownloadError(f"{target.name}: {'; '.join(reasons) or 'no mirror can be reached'}")


def _from_mirror(url: str, target: Path, verify: Callable[[Path], object]) -> None:
    part = _part_of(target, url)
    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(part)
        try:
            _transfer(url, part, before, target.name)
        except _MirrorFailed:
            if attempt == _ATTEMPTS or _size(part) == before:
                raise
            continue
        try:
            verify(part)
        except DataError:
            part.unlink()
            if before == 0:
                raise _MirrorFailed("the file fails its checksum") from None
            continue  # what was resumed may have been stale: once more from the start
        os.replace(part, target)
        return
    raise _MirrorFailed("the file fails its checksum")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _part_of(target: Path, url: str) -> Path:
    """Where bytes from `url` are kept: each mirror may have packed the same data differently."""
    return target.with_name(f"{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")


def _transfer(url: str, part: Path, start: int, label: str) -> None:
    """Append what follows byte `start` to `part`; a server without ranges sends the whole file.

    Network trouble becomes _MirrorFailed, so an OSError that leaves is about the disk.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "minigan"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=_READ_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # nothing follows: the part is whole, or the checksum says otherwise
        raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorFailed(str(getattr(error, "reason", error)) or repr(error)) from None
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink()
            raise _MirrorFailed("the server resumed at the wrong byte")
        _save(response, part, start if resumed else 0, label)


def _save(response: http.client.HTTPResponse, part: Path, start: int, label: str) -> None:
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    with (
        open(part, "r+b" if start else "wb") as file,
        progress_bar(
            total=total, initial=start, unit="B", unit_scale=True, desc=label, disable=None
        ) as bar,
    ):
        file.seek(start)
        file.truncate()
        while chunk := _read(response):
            file.write(chunk)
            bar.update(len(chunk))
            if file.tell() > _MAX_BYTES:
                raise _MirrorFailed(f"the file is larger than {_MAX_BYTES:,} bytes")
        file.flush()
        os.fsync(file.fileno())
        if total is not None and file.tell() < total:
            raise _MirrorFailed(f"the transfer ended after {file.tell():,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorFailed(f"the transfer broke off ({error})") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, where the system has flock; elsewhere the checksum alone guards."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "w") as file:
        with suppress(OSError):  # a network file system without locks: as without flock
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
