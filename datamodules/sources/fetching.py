"""Downloading and unpacking through torchvision: by one process at a time, whole or not at all, with clear errors."""

import fcntl
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from torchvision.datasets.utils import check_integrity, download_url

__all__ = ["fetch_archive", "unpack_once"]


def unpack_once(folder: Path, unpack: Callable[[Path], Path]) -> None:
    """Make a folder unless it is there. It appears once it is whole, and other processes wait for it.

    Args:
        folder: what is made; others wait by a lock in the folder that holds it.
        unpack: makes it inside the empty folder that it is given, and tells where.

    Raises:
        OSError: if that fails.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, however the process ends
        if folder.is_dir():  # by another process meanwhile
            return
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of one that was interrupted
        part.mkdir()
        unpack(part).rename(folder)
        shutil.rmtree(part, ignore_errors=True)


def fetch_archive(root: Path, folder: str, url: str, md5: str, download: bool) -> Path:
    """Unpack an archive that holds one folder.

    Args:
        root: where the archive is, or is downloaded to, and where the folder appears.
        folder: the folder inside the archive.
        url: where the archive comes from.
        md5: its checksum; an archive that has another is refused.
        download: whether it may be downloaded.

    Returns:
        The folder.

    Raises:
        OSError: if the archive is missing or damaged; says what to put where.
    """
    archive = root / url.rpartition("/")[2]
    advice = f"fetch {url} (md5 {md5}) and put it into '{root}', where it is unpacked"

    def unpack(part: Path) -> Path:
        if archive.exists() and not check_integrity(archive, md5):
            raise OSError(f"'{archive}' is damaged, its MD5 is not {md5}: remove it, then {advice}")
        if not archive.exists():
            if not download:
                raise FileNotFoundError(f"'{root}' holds no {folder}: set data.download to true, or {advice}")
            try:
                download_url(url, root, archive.name, md5)
            except (OSError, RuntimeError) as error:  # RuntimeError: how torchvision tells a wrong checksum
                raise OSError(f"{archive.name} cannot be downloaded ({error}): {advice}") from error
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        return part / folder

    unpack_once(root / folder, unpack)
    return root / folder
