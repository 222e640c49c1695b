"""How the texts of a column are to be read, decided by all of its values: numbers, currencies and times."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "exchange_rates": ["ExchangeRates", "decide_exchange_rates"],
        "number_reader": ["MONEY_ROLES", "NumberReader", "as_ticks"],
        "number_styles": ["NUMBER", "NumberStyle", "decide_number_style", "is_given", "rough_number", "survey_numbers"],
        "time_layouts": [
            "FIRST_BIRTHDAY",
            "FIRST_TIME",
            "LAST_TIME",
            "TimeLayout",
            "decide_time_layout",
            "is_possible_time",
        ],
        "written_times": ["WrittenTimes", "has_clock", "read_iso_text"],
    },
)
