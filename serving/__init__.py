"""Scores customers, explains scores, plans actions, measures effects, monitors, and writes what people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from serving.activation import measure_activation
    from serving.campaigns.overview import list_campaigns
    from serving.campaigns.sharing import share_money
    from serving.customer_explanations import explain_changes, explain_customers
    from serving.demo import prepare_demo
    from serving.measurement.measure import measure_plan
    from serving.monitoring.monitor import monitor_scores
    from serving.optimizer.allocate import allocate_actions, allocation_problem
    from serving.planning.plan import make_plan
    from serving.report.page import write_report
    from serving.scoring.run import score_customers
    from serving.segmentation.run import segment_customers
    from serving.statistics.treatment_effect import (
        difference_in_means,
        regression_adjusted_effect,
        sample_ratio_p_value,
        simultaneous_effects,
    )

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "activation": ["measure_activation"],
        "campaigns.overview": ["list_campaigns"],
        "campaigns.sharing": ["share_money"],
        "customer_explanations": ["explain_changes", "explain_customers"],
        "demo": ["prepare_demo"],
        "measurement.measure": ["measure_plan"],
        "monitoring.monitor": ["monitor_scores"],
        "optimizer.allocate": ["allocate_actions", "allocation_problem"],
        "planning.plan": ["make_plan"],
        "report.page": ["write_report"],
        "scoring.run": ["score_customers"],
        "segmentation.run": ["segment_customers"],
        "winback.table": ["read_winback"],
        "statistics.treatment_effect": [
            "difference_in_means",
            "regression_adjusted_effect",
            "sample_ratio_p_value",
            "simultaneous_effects",
        ],
    },
)
