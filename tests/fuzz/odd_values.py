"""Strategies of odd values: text that breaks parsers, numbers at the limits, days that are none."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from hypothesis import strategies as st

NASTY_TEXTS = (
    "", " ", "  \t ", "\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\x07", "\x7f", "\x85", "\u2028", "a\nb", "a\r\nb",
    "a\tb",
    "\u202egpj.exe", "\ufeff", "\u200b", "e\u0301", "客户", "Ωμέγα", "😀", "𝔘𝔫𝔦", "ｆｕｌｌ", "١٢٣", "'", '"', "''",
    '""',
    "`",
    "'; DROP TABLE events; --", 'a"b', "a'b", "a\\b",
    "\\", "%", "%s", "%Y-%m-%d", "{", "{0}", "{{x}}", "{% x %}", "${HOME}",
    "$(id)", "[x]", "[", "*", "**", "?", "#", ";", ",", "|", "=1+1", "+1", "-1", "@x", "-", "--", "--help", "-c",
    ".", "..",
    "../..", "~", "/dev/null", "/dev/full", "CON", "a/b", "a/../b", "nan", "NaN", "inf", "NULL", "None", "null", "true",
    "<b>x</b>", "&amp;", "a&b?c=d#e", "nosuch://x", "sqlite:///none.db", "duckdb:///none.duckdb", "postgresql://u@127.0.0.1:1/x",
    "none.csv", "none.parquet", "x" * 300, "客" * 200,
)  # fmt: skip
NASTY_NUMBERS = (0, -1, 1, 2, 7, 100, 1_000_000, 2**31, 2**63 - 1, 2**63, 10**30, -(10**30), 0.0, -0.0, 0.5, 1.5,
-0.1, 1e-300,
                 1e15, 1e308, float("inf"), float("-inf"), float("nan"))  # fmt: skip
NASTY_DAYS = (
    "2024-02-30", "0000-00-00", "0001-01-01", "9999-12-31", "10000-01-01", "1899-12-31", "1969-12-31", "2024-2-3",
    "20240203",
    "2024-03-01T00:00:00", "2024-03-01 ", " 2024-03-01", "today", "٢٠٢٤-٠٣-٠١", "2024‐03‐01", "-2024-03-01",
    "2024-13-01",
)  # fmt: skip
DURATIONS = (
    "0d",
    "-1d",
    "1d",
    "7d",
    "30d",
    "3w",
    "1.5d",
    "99999999d",
    "36500d",
    "d",
    "1",
    "1 d",
    "30D",
    "٣d",
    "1m",
    "1y",
    "",
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu",
"Etc/GMT+5",
         "utc", "CET", "+02:00", "Mars/Base", "Europe/berlin", "../etc/passwd", "")  # fmt: skip


def rarely(one_in: int) -> st.SearchStrategy[bool]:
    """True about once in so many draws; Hypothesis prefers what comes first."""
    return st.sampled_from((False,) * (one_in - 1) + (True,))


def texts(max_size: int = 12) -> st.SearchStrategy[str]:
    """Text: nasty, or of any characters; no absolute path but devices, so that nothing outside is touched."""
    free = st.text(st.characters(codec="utf-8"), max_size=max_size)
    return st.one_of(st.sampled_from(NASTY_TEXTS), free.map(_inside))


def toml_scalars() -> st.SearchStrategy:
    """Values of TOML that are no table and no array."""
    return st.one_of(
        texts(),
        st.sampled_from(NASTY_NUMBERS),
        st.sampled_from(DURATIONS),
        st.sampled_from(NASTY_DAYS),
        st.sampled_from(ZONES),
        st.booleans(),
        st.integers(-3, 40),
        st.floats(0, 1),
        st.sampled_from((date(2024, 3, 1), datetime(2024, 3, 1, 12, tzinfo=UTC), time(12))),
    )


def toml_values() -> st.SearchStrategy:
    """Any value of TOML."""
    keys = texts(5)
    nested = st.one_of(st.lists(toml_scalars(), max_size=3), st.dictionaries(keys, toml_scalars(), max_size=2))
    return st.one_of(toml_scalars(), toml_scalars(), nested, st.lists(nested, max_size=2))


def days() -> st.SearchStrategy[str]:
    """Days as text: good ones, and ones that are none."""
    good = st.dates(date(2023, 1, 1), date(2024, 12, 31)).map(str)
    return st.one_of(st.just("2024-03-01"), good, st.sampled_from(NASTY_DAYS), texts(6))


def _inside(text: str) -> str:
    """A path that stays below the working folder, or the same text."""
    return f"x{text}" if text.startswith(("/", "~")) or ".." in text else text
