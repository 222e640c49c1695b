"""The layout of CSV files: separators, quotes, title lines, headers and empty columns."""

from __future__ import annotations

import pytest

from features.sources.csv_layout import CsvLayout, read_layout, sample_rows

ROWS = "".join(f"{n},2024-01-{n:02d},{n}.5,tea\n" for n in range(1, 20))
HEADER = "id,day,paid,what\n"


def layout(text: str, *expected: str) -> CsvLayout:
    """The layout of a whole file."""
    return read_layout(text, True, expected)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(separator: str) -> None:
    found_layout = layout((HEADER + ROWS).replace(",", separator))
    assert found_layout.dialect.separator == separator
    assert found_layout.columns == ("id", "day", "paid", "what") and found_layout.skipped_rows == 1


def test_decimal_commas_do_not_separate() -> None:
    text = (HEADER + ROWS).replace(",", ";").replace(".", ",")
    assert layout(text).dialect.separator == ";"
    assert layout("Report, January\n" + text).dialect.separator == ";"
    assert layout("id;a;b;c\n" + "1;2,5;3,5;4,5\n" * 9).columns == ("id", "a", "b", "c")


@pytest.mark.parametrize(
    ("text", "quote", "escape"),
    [
        ('id,what\n1,"a, b"\n2,"c ""d"""\n', '"', '"'),
        ('id,what\n1,"a \\"b\\", c"\n2,"d"\n', '"', "\\"),
        ("id,what\n1,'a, b'\n2,'c'\n3,'d'\n", "'", "'"),
        ('id\twhat\n1\t"inch\n2\ttea\n3\tmilk\n', "", ""),
        ('id,what\n1,5" pipe\n2,"a, b"\n', '"', '"'),
    ],
)
def test_quotes(text: str, quote: str, escape: str) -> None:
    dialect = layout(text).dialect
    assert (dialect.quote, dialect.escape) == (quote, escape)


@pytest.mark.parametrize(
    ("above", "skipped", "titles"),
    [
        ("Sales report\n\n", 3, 1),
        ("Sales report,,,\n,,,\n", 3, 1),
        ("Report\nfrom 2024-01-01,to 2024-02-01\n\n", 4, 2),
        ('"A title\nof two lines"\n', 2, 1),
        ("sep=,\n", 2, 1),
        ("\n\n", 3, 0),
    ],
)
def test_lines_above_the_header(above: str, skipped: int, titles: int) -> None:
    file = layout(above + HEADER + ROWS)
    assert (file.columns, file.skipped_rows, file.titles) == (("id", "day", "paid", "what"), skipped, titles)
    assert file.skipped_lines == above.count("\n") + 1 and file.prefix == above + HEADER


def test_named_columns_tell_the_header_from_full_title_lines() -> None:
    text = "Shop,Berlin,by,Ada\n" + HEADER + ROWS
    assert layout(text).columns == ("Shop", "Berlin", "by", "Ada")
    assert layout(text, "paid").columns == ("id", "day", "paid", "what")


def test_a_file_without_a_header_gets_numbered_columns() -> None:
    file = layout(ROWS)
    assert (file.columns, file.skipped_rows, file.has_header) == (
        ("column0", "column1", "column2", "column3"),
        0,
        False,
    )
    assert layout("A,2024-01-05,10\n").has_header is False
    assert layout("id,day\n").columns == ("id", "day")
    assert layout("name,town\nAnn,Bath\nBob,York\n").columns == ("name", "town")


@pytest.mark.parametrize("first", ["C-1,2024-01-05,,web", "C-1,2024-01-05,free,web"])
def test_a_first_row_that_lacks_a_number_is_no_header(first: str) -> None:
    rows = "".join(f"C-{n},2024-01-{n:02d},{n}.5,web\n" for n in range(2, 20))
    assert layout(f"{first}\n{rows}").has_header is False
    assert layout(f"id_1,day,2024,what\n{rows}").has_header


def test_texts_of_one_form_are_rows() -> None:
    assert layout("".join(f"ann{n}@shop.com,{n} Jan 2024,web\n" for n in range(1, 20))).has_header is False
    assert layout("c001,gold\nc002,basic\nc003,gold\n").has_header is False
    assert layout("item1,name\nsku42,tea\nsku43,tea\n").has_header


def test_names_are_made_distinct() -> None:
    assert layout("a, b ,,a,A\n1,2,3,4,5\n").columns == ("a", "b", "column2", "a_1", "A_2")


@pytest.mark.parametrize(
    ("text", "columns", "unnamed"),
    [
        ("id,what,,\n1,a,,\n2,b,,\n", ("id", "what", "column2", "column3"), {"column2", "column3"}),
        ("id,what\n1,a,\n2,b,\n", ("id", "what", "column2"), {"column2"}),  # separators at the ends of rows
        ("id,what,,\n1,a\n2,b\n", ("id", "what"), set()),
        (",id,what\n0,1,a\n1,2,b\n", ("column0", "id", "what"), {"column0"}),  # an index of pandas
        ("id,what,x\n1,a\n2,b\n", ("id", "what", "x"), set()),
    ],
)
def test_columns_without_a_name(text: str, columns: tuple[str, ...], unnamed: set[str]) -> None:
    file = layout(text)
    assert (file.columns, file.unnamed) == (columns, frozenset(unnamed))


def test_one_column_of_texts_with_commas() -> None:
    assert layout("customer_id\nA\nB, C\nD\nE\n").columns == ("customer_id",)


def test_a_malformed_second_line_changes_nothing() -> None:
    assert layout("a,b,c,d\n1,2\n1,2,3,4\n").columns == ("a", "b", "c", "d")


def test_a_cut_off_head_loses_its_last_line() -> None:
    head = HEADER + ROWS + "20,2024-01-2"
    file = read_layout(head, False)
    assert file.columns == ("id", "day", "paid", "what")
    assert len(sample_rows(file, head, 100)) == 19


def test_another_file_fits_a_layout_if_it_begins_alike() -> None:
    file = layout(HEADER + ROWS)
    assert file.fits(HEADER + "7,2024-03-01,1,milk\n") and file.fits(HEADER)
    assert not file.fits(HEADER + "7,2024-03-01,1,milk,\n")  # has an empty column more
    assert not file.fits("day,id,paid,what\n" + ROWS) and not layout(ROWS).fits(ROWS)
