"""Text from files as they come: compressed, with byte order marks, in UTF-8 or UTF-16."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pyro_rm.checks import existing_file


def _all_streams(new: Callable[[], Any], content: bytes) -> bytes:
    """What all streams of a file hold; bz2 and lzma stop without a word at the first bad one."""
    parts = []
    while content:
        stream = new()
        parts.append(stream.decompress(content))
        if not stream.eof:
            raise EOFError("it was cut short")
        content = stream.unused_data.lstrip(b"\0")  # padding of xz
    return b"".join(parts)


_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": partial(_all_streams, bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": partial(_all_streams, lzma.LZMADecompressor),
}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
            if content and magic.startswith(content[: len(magic)]):
                content = unpack(content)
                break
    except Exception as error:  # the decompressors raise many kinds
        raise ValueError(f"Expected {what}, but {path} cannot be unpacked: {error}.") from error
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {what} as text in UTF-8, but {path} is not: {error}. Save it in UTF-8."
        ) from error
    text = text.lstrip("\ufeff")  # at times there are two marks
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
