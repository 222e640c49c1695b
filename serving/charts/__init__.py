"""Charts of the report and the web page: SVG with a tooltip on every mark, and their style sheet and script."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "axes": ["axis_ticks", "format_tick"],
        "bars": [
            "Bar",
            "Column",
            "ColumnPair",
            "Layer",
            "columns",
            "horizontal_bars",
            "paired_columns",
            "stacked_columns",
        ],
        "cells": ["interval_cell", "waterfall_bar"],
        "drift": ["drift_charts"],
        "evaluation": ["calibration_chart", "evaluation_groups", "ranking_charts"],
        "flows": ["Flow", "FlowGroup", "TimelineEvent", "flow_chart", "order_timeline"],
        "intervals": ["Panel", "PlottedEstimate", "interval_panels"],
        "lines": ["Curve", "CurveAxis", "CurvePoint", "TimeSeries", "curve_chart", "line_chart"],
        "over_cutoffs": ["CutoffTotals", "TotalsWording", "charts_over_cutoffs"],
        "svg": ["STATIC"],
        "text_layout": ["truncate_text"],
    },
)
