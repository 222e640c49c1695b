"""How the texts of a column are to be read, decided by all of its values: numbers and currencies."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "exchange_rates": ["ExchangeRates", "decide_exchange_rates"],
        "number_styles": ["NUMBER", "NumberStyle", "decide_number_style", "is_given", "rough_number", "survey_numbers"],
    },
)
