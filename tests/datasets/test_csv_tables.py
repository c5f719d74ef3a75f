"""CSV files: what they mean is kept, and what could mean two things is refused or said."""

import bz2
import codecs
import gzip
import lzma
import math
import re
import zipfile

import numpy as np
import pytest
import torch

from pyro_rm.datasets import read_csv_table
from pyro_rm.datasets.csv_tables import BLANKS
from pyro_rm.networks.columns import read_cells

NAN = float("nan")


def write(folder, text):
    path = folder / "x.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder, text, **options):
    return read_csv_table(write(folder, text), **options)


def check(table, columns, rows):
    assert table.columns == columns
    expected = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(table.values, expected, equal_nan=True, rtol=0, atol=0)


def test_blanks_are_nan_and_labels_are_set_aside(tmp_path):
    table = read(tmp_path, "a,party,b\n1,left,\n0,right,1\nNA,left,?\n", labels=["party"])
    check(table, ["a", "b"], [[1, NAN], [0, 1], [NAN, NAN]])
    assert read_cells(table)[1] == table.columns
    assert table.labels == {"party": ["left", "right", "left"]}


@pytest.mark.parametrize("blank", [*sorted(BLANKS - {""}), "  ", '""', "N/A", ".Z", "Null"])
def test_every_spelling_of_a_blank(tmp_path, blank):
    check(read(tmp_path, f"a,b\n1,0\n{blank},1\n0,0\n"), ["a", "b"], [[1, 0], [NAN, 1], [0, 0]])


def test_blanks_of_pandas_are_known():
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert {blank.strip().lower() for blank in parsers.STR_NA_VALUES} <= BLANKS


@pytest.mark.parametrize(
    "word", ["x", "yes", "refused", "1_000", "1 2", "inf", "1e999", "١", "0x1", "5%", "−1", "-", "#DIV/0!"]  # noqa: E501, RUF001
)  # fmt: skip
def test_text_among_numbers_is_refused_by_column_and_line(tmp_path, word):
    text = f"sad,tired\n1,0\n\n0,1\n{word},1\n"
    with pytest.raises(ValueError, match=rf"'sad' .*but got '{re.escape(word)}' in line 5"):
        read(tmp_path, text)
    check(read(tmp_path, text, codes={word: NAN}), ["sad", "tired"], [[1, 0], [0, 1], [NAN, 1]])
    assert read(tmp_path, text, labels=["sad"]).labels == {"sad": ["1", "0", word]}


@pytest.mark.parametrize("words", ["yes no no", "left right left", "n y NA", "ja nein ja"])
def test_columns_of_text_are_never_set_aside_in_silence(tmp_path, words):
    text = "a,b\n" + "".join(f"{word},1\n" for word in words.split())
    with pytest.warns(UserWarning, match=r"\['a'\] .* hold text and are set aside.*codes="):
        table = read(tmp_path, text)
    assert (table.columns, list(table.labels)) == (["b"], ["a"])


def test_words_get_one_coding_in_all_columns(tmp_path):
    text = "a,b\nyes,no\nno,yes\nyes,refused\n"
    table = read(tmp_path, text, codes={"yes": 1, "no": 0, "refused": NAN})
    check(table, ["a", "b"], [[1, 0], [0, 1], [1, NAN]])
    check(read(tmp_path, "a,b\nTRUE,0\nfalse,1\nNA,1\n"), ["a", "b"], [[1, 0], [0, 1], [NAN, 1]])
    with pytest.raises(ValueError, match=r"Expected a column of numbers .*codes="):
        read(tmp_path, text)


@pytest.mark.parametrize(("code", "others"), [
    ("9", "12345"), ("99", "01"), ("999", "123"), ("-9", "01"), ("-99", "0123"), ("-8", "01"),
    ("77", "12"),
])  # fmt: skip
def test_numbers_that_often_stand_for_blanks_are_mentioned(tmp_path, code, others):
    text = "".join(f"{value},{other}\n" for value, other in zip([*others, code], "010101"))  # noqa: B905
    with pytest.warns(UserWarning, match=rf"'q' holds {code} beside numbers from .*codes="):
        kept = read(tmp_path, "q,r\n" + text)
    assert kept.values[-1, 0] == float(code)
    blank = read(tmp_path, "q,r\n" + text, codes={"q": {code: NAN}})
    assert blank.values[-1, 0].isnan()
    assert read(tmp_path, "q,r\n" + text, codes={"q": {code: float(code)}}).values.equal(
        kept.values
    )


@pytest.mark.parametrize("values", ["-1 1 1", "0 1 9 8 7 6 5", "7 8 9", "18 80 97 99", "-1 0 1"])
def test_other_numbers_are_not(tmp_path, values):
    assert len(read(tmp_path, "q,r\n" + "".join(f"{v},1\n" for v in values.split())).values) > 2


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", ", ", "; "])
def test_separators(tmp_path, separator):
    text = "\n".join(separator.join(row) for row in ("abc", "101", "011")) + "\n"
    check(read(tmp_path, text), ["a", "b", "c"], [[1, 0, 1], [0, 1, 1]])
    if separator == " ":
        check(read(tmp_path, text.replace(" ", " \t")), ["a", "b", "c"], [[1, 0, 1], [0, 1, 1]])


def test_separators_that_are_declared(tmp_path):
    check(read(tmp_path, "sep=;\na;b\n1;0\n"), ["a", "b"], [[1, 0]])
    check(read(tmp_path, "a:b\n1:0\n", separator=":"), ["a", "b"], [[1, 0]])
    with pytest.raises(ValueError, match=r"Expected a column of numbers .*separator="):
        read(tmp_path, "a:b\n1:0\n")
    with pytest.raises(ValueError, match=r"Expected one separator .*all fit"):
        read(tmp_path, "a,b;c\n1,0;1\n")
    with pytest.raises(ValueError, match="separator as one character, but got '::'"):
        read(tmp_path, "a::b\n", separator="::")


@pytest.mark.parametrize("text", ["a;b\n1,5;0\n2;1\n", "a\tb\n1,5\t0\n2\t1\n", "a;b\n1.5;0\n2;1\n"])
def test_decimal_marks(tmp_path, text):
    check(read(tmp_path, text), ["a", "b"], [[1.5, 0], [2, 1]])


@pytest.mark.parametrize("text", [
    "a;b\n1,234;0\n2;1\n", "a;b\n1.234;0\n2;1\n", "a;b\n1.5;0\n2;1,5\n", 'a,b\n"1,5",0\n2,1\n',
    'a,b\n"1,234",0\n2,1\n', "a;b\n1.234,5;0\n2;1\n",
])  # fmt: skip
def test_commas_that_could_mark_thousands_are_refused(tmp_path, text):
    with pytest.raises(ValueError, match="Expected numbers or blanks in column"):
        read(tmp_path, text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_byte_order_marks(tmp_path, encoding):
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    text = "größe,b\n1,0\n".encode(encoding)
    check(read(tmp_path, mark + text), ["größe", "b"], [[1, 0]])
    if text.startswith(codecs.BOM_UTF8):  # written twice
        check(read(tmp_path, codecs.BOM_UTF8 + text), ["größe", "b"], [[1, 0]])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_quoted_line_breaks(tmp_path, end):
    text = f'"a{end}b",c{end}"1",0{end}{end}0,1{end}'
    table = read(tmp_path, text)
    check(table, [f"a{end}b", "c"], [[1, 0], [0, 1]])


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip", ""])
def test_compressed_files(tmp_path, suffix):
    content = b"a,b\n1,0\n"
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path = tmp_path / f"x.csv{suffix}"
    path.write_bytes(pack.get(suffix, bytes)(content))
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.csv", content)
            archive.writestr("__MACOSX/x.csv", "")
    check(read_csv_table(path), ["a", "b"], [[1, 0]])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_all_streams_of_a_compressed_file_are_read(tmp_path, pack):
    one, two = pack(b"a,b\n1,0\n"), pack(b"0,1\n")
    check(read(tmp_path, one + two), ["a", "b"], [[1, 0], [0, 1]])
    for damaged in (one + two[:-5], one + b"x" + two, one[:2], one + b"0,1\n"):
        with pytest.raises(ValueError, match="cannot be unpacked"):
            read(tmp_path, damaged)


def test_archives_of_several_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.csv", "a,b\n1,0\n")
        archive.writestr("b.csv", "a,b\n1,0\n")
    with pytest.raises(ValueError, match=r"holds 2 files .*unpack one"):
        read_csv_table(tmp_path / "x.zip")


@pytest.mark.parametrize("header", ["0,1,2", "1,2,3", "1990,1991,1992"])
def test_headers_that_count(tmp_path, header):
    check(read(tmp_path, f"{header}\n1,0,1\n0,0,1\n"), header.split(","), [[1, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize("first", ["0,1", "1,0", "1990,2000", "0,1,1", "0.5,1.5", "x,0", "1,,0"])
def test_first_lines_that_could_be_data(tmp_path, first):
    width = first.count(",") + 1
    text = first + "\n" + ",".join(["x" if first[0] == "x" else "1"] + ["0"] * (width - 1)) + "\n"
    labels = {"labels": [first[0]]} if first[0] == "x" else {}
    with pytest.raises(ValueError, match=r"could be data\. Say header=True .*header=False"):
        read(tmp_path, text)
    if first not in ("0,1,1", "1,,0"):
        assert read(tmp_path, text, header=True, **labels).values.shape[0] == 1
    if first[0] != "x":
        assert read(tmp_path, text, header=False).columns == [str(i) for i in range(width)]


def test_row_numbers_and_empty_columns_have_no_names(tmp_path):
    check(read(tmp_path, ",a,b\n0,1,0\n1,0,1\n"), ["a", "b"], [[1, 0], [0, 1]])
    check(read(tmp_path, "a,b,\n1,0,\n0,1,\n"), ["a", "b"], [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"a name for each column .* column 1 has none"):
        read(tmp_path, ",a,b\n5,1,0\n3,0,1\n")


def test_columns_can_be_dropped(tmp_path):
    table = read(tmp_path, "id,a,party,b\n7,1,left,0\n8,0,right,1\n", labels=["party"])
    kept = table.drop(columns=["id"])
    check(kept, ["a", "b"], [[1, 0], [0, 1]])
    assert kept.labels == table.labels
    for wrong in (["c"], "id"):
        with pytest.raises(ValueError, match="Expected some of the columns"):
            table.drop(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "but got 1 lines"),
        ("a,b\n0,1\n1\n", "Expected 2 cells .* but got 1 in line 3"),
        ("a,b\n\n\n1,0\n0,1,1\n", "but got 3 in line 5"),
        ('a,b\n"x\ny",0\n0,1,1\n', "but got 3 in line 4"),
        ('a,b\r\n"x\r\n\r\ny",0\r\n\r\n0\r\n', "but got 1 in line 6"),
        ("sep=;\na;b\n1;0;1\n", "but got 3 in line 3"),
        ('a,b\n1,0\n"1,0\n0,1\n', "in the row of line 3. Close its quotation marks"),
        ('a,b\n1,0\n"1"2,0\n', "in the row of line 3"),
        ("a,a\n0,1\n", "but got 'a' twice"),
        ("a, a\n0,1\n", "but got 'a' twice"),
        ("ab\n1,0\n0,1\n", "Expected 1 cells separated by ',' .* but got 2 in line 2"),
        ("a b c\n\t 0 1\n0 1 1\n", "but got 2 in line 2"),
        (",\n0,\n1,\n", "names of columns in line 1 .* but got none"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("options", [
    {"labels": "a"}, {"labels": ["c"]}, {"codes": {"c": {"1": 0}}}, {"codes": {"1": "one"}},
    {"codes": {"1": None}},
])  # fmt: skip
def test_bad_options(tmp_path, options):
    with pytest.raises(ValueError, match=r"Expected (labels and codes of|codes as)"):
        read(tmp_path, "a,b\n1,0\n", **options)


def test_what_pandas_writes_is_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    values = np.random.default_rng(0).integers(0, 2, (30, 4)).astype(float)
    values[3, 1] = values[0, 0] = math.nan
    frame = pandas.DataFrame(values, columns=["q,1", 'q"2', "q\n3", "q4"])
    for options in ({}, {"index": False}, {"sep": ";", "decimal": ","}, {"na_rep": "N/A"}):
        frame.to_csv(tmp_path / "x.csv", **options)
        check(read_csv_table(tmp_path / "x.csv"), list(frame.columns), values.tolist())


def test_house_votes(real_data):
    table = read_csv_table(real_data / "ising" / "house_votes_84.csv", labels=["party"])
    assert table.values.shape == (435, 16)
    assert int(table.values.isnan().sum()) == 392
    assert set(table.labels) == {"party"}
