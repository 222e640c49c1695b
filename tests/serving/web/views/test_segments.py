"""The page of segments: whom the plan contacts, and groupings that do not exist."""

from __future__ import annotations

import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from serving.web.parts.output_reader import MissingOutput, open_site
from serving.web.views import segments
from tests.webpages import CUTOFF, app_of, fetch


def test_groups_say_whom_the_plan_contacts(webpages: Config) -> None:
    plan = pq.read_table(webpages.outputs.campaigns(CUTOFF) / "retention" / "plan.parquet").to_pylist()
    groups = pq.read_table(webpages.outputs.segments(CUTOFF) / "customers.parquet").to_pylist()
    group_of = {row["customer_id"]: row["rfm_group"] for row in groups}
    count = Counter(group_of.get(row["customer_id"]) for row in plan if row["action"] is not None)
    text = fetch(app_of(webpages), "/segments?by=rfm_group").text
    contacted = re.findall(r"The plan &#39;retention&#39; contacts (\d+) of them", text)
    assert contacted == [str(count["champions"]), str(count["lost"])] and any(count.values())


def test_a_cutoff_without_segments_says_how_to_make_them(webpages: Config) -> None:
    with pytest.raises(MissingOutput) as missing:
        segments.segments_page(open_site(webpages), {}, CUTOFF.replace(year=1999))
    assert missing.value.command.startswith("regulars segments")
