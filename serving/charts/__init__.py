"""Figures for the report and the web page."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "cjk_glyphs": ["truncate_text"],
        "figures": [
            "Bar",
            "BudgetCurve",
            "ExpectedObserved",
            "Panel",
            "PlottedEstimate",
            "budget_curves",
            "histogram",
            "horizontal_bars",
            "interval_panels",
            "paired_columns",
        ],
        "live_svg": [
            "Flow",
            "TimeSeries",
            "flow_chart",
            "format_tick",
            "gain_curve",
            "inline_figure",
            "interval_cell",
            "line_chart",
            "order_timeline",
            "waterfall_bar",
        ],
    },
)
