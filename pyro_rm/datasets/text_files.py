"""Text from files as they come: compressed, with byte order marks, in UTF-8 or UTF-16."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

from pyro_rm.checks import existing_file

_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ZIP = b"PK\x03\x04"
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")


def read_text(path: str | Path, what: str) -> str:
    """The text in a file, whatever its name; line ends are kept.

    :param path: The file, compressed by gzip, bzip2, xz or zip, or not at all.
    :param what: What messages call its content.
    :returns: Its text, without a byte order mark.
    :raises FileNotFoundError: If there is no such file.
    :raises ValueError: If it is damaged or not text, or an archive of several files.

    Example:

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "x.csv.gz"
        ...     _ = path.write_bytes(gzip.compress(b"\\xef\\xbb\\xbfa,b\\n"))
        ...     read_text(path, "a table")
        'a,b\\n'
    """
    path = existing_file(path, what)
    content = path.read_bytes()
    try:
        if content.startswith(_ZIP):
            content = _only_member(content)
        for magic, unpack in _UNPACK.items():
            if content.startswith(magic):
                content = unpack(content)
                break
    except Exception as error:  # the decompressors raise many kinds
        raise ValueError(f"Expected {what}, but {path} cannot be unpacked: {error}.") from error
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {what} as text in UTF-8, but {path} is not: {error}. Save it in UTF-8."
        ) from error
    if "\0" in text:
        raise ValueError(f"Expected {what} as text in UTF-8, but {path} holds binary data.")
    return text


def _only_member(content: bytes) -> bytes:
    """The content of the only file in a zip archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [
            name for name in archive.namelist() if name[-1:] != "/" and name[:9] != "__MACOSX/"
        ]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files ({names[:3]}): unpack one of them")
        return archive.read(names[0])
