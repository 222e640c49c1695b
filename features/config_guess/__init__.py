"""Guesses a first config from the columns of a data file or of a table of a database."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__, {"guess": ["GuessedConfig", "guess_config", "write_guessed_config"], "offers": ["guess_offers"]}
)
