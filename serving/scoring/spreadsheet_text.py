"""Text for spreadsheets: cells that a spreadsheet would run as a formula are escaped (OWASP, CSV injection)."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# White space and control characters before the sign do not stop a spreadsheet; full-width signs count in East Asia.
FORMULA = r"^[\s\pZ\pC]*[=+\-@＝＋－＠]|^[\t\r\n]"
PLAIN_NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?$"


def escape_formulas(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Put an apostrophe before text (n,) that a spreadsheet would run as a formula; plain numbers stay as they are.

    >>> escape_formulas(pa.chunked_array([["=1+1", " =1+1", "＝1+1", "-5", "-5+A1", "C-7", None]])).to_pylist()
    ["'=1+1", "' =1+1", "'＝1+1", '-5', "'-5+A1", 'C-7', None]
    """
    runs = pc.and_not(pc.match_substring_regex(text, FORMULA), pc.match_substring_regex(text, PLAIN_NUMBER))
    return pc.if_else(runs, pc.binary_join_element_wise("'", text, ""), text)
