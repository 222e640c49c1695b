"""What `regulars check` looks at beside the audit, if it is asked to."""

from __future__ import annotations

from collections.abc import Iterator

from features.config.load import Config
from features.errors import RefusedError


def further_checks(config: Config, leaks: bool, second_orders: bool) -> Iterator[str]:
    """Run the further checks of a log, one after the other.

    Args:
        config: The business.
        leaks: Whether to prove that no feature uses the future.
        second_orders: Whether to say how many first-time buyers order again.

    Yields:
        The text of each check.

    Raises:
        RefusedError: A feature uses the future.
    """
    if second_orders:
        from serving.activation import activation_text, measure_activation

        yield activation_text(measure_activation(config))
    if leaks:
        from features.snapshots import leakage

        trials, proof = leakage.check_leaks(config)
        yield leakage.leaks_text(trials)
        if leaking := sorted({name for trial in trials for name, _ in trial.leaks}):
            raise RefusedError(f"{', '.join(leaking)} would change with the future: see above and {proof}")
