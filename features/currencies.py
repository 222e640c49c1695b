"""Currencies: their codes (ISO 4217), and the signs by which people write them beside a number."""

from __future__ import annotations

from collections.abc import Sequence

CURRENCY_CODES = frozenset(
    (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD "
        "HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD "
        "LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP "
        "PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND "
        "TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL"
    ).split()
)
WRITTEN_SMALL = ("eur", "usd", "gbp", "chf")  # other codes in small letters are words, such as all, top and cup
# Signs that several countries use, and what they may mean.
SHARED_SIGNS = {
    "$": frozenset("USD AUD CAD NZD HKD SGD MXN TWD ARS CLP COP BSD BBD BZD FJD JMD TTD XCD".split()),
    "£": frozenset("GBP EGP LBP SYP GIP FKP SHP".split()),
    "¥": frozenset(("JPY", "CNY")),
    "KR": frozenset("SEK NOK DKK ISK".split()),
    "RS": frozenset("INR PKR LKR NPR MUR SCR".split()),
}
CURRENCY_SIGNS = {  # in upper case
    "US$": "USD", "USD$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD",
    "HK$": "HKD", "S$": "SGD", "R$": "BRL", "MX$": "MXN", "NT$": "TWD", "€": "EUR", "EURO": "EUR", "£": "£",
    "$": "$", "¥": "¥", "￥": "¥", "円": "JPY", "JP¥": "JPY", "CN¥": "CNY", "元": "CNY", "RMB": "CNY", "₹": "INR",
    "RS": "RS", "RS.": "RS", "₽": "RUB", "РУБ": "RUB", "РУБ.": "RUB", "₩": "KRW", "원": "KRW", "₺": "TRY", "TL": "TRY",
    "₫": "VND",
    "₴": "UAH", "₦": "NGN", "฿": "THB", "₪": "ILS", "₱": "PHP", "ZŁ": "PLN", "KČ": "CZK", "LEI": "RON",
    "ЛВ": "BGN", "ЛВ.": "BGN", "KR": "KR", "KR.": "KR", "FR.": "CHF", "SFR.": "CHF", "RM": "MYR", "RP": "IDR",
}  # fmt: skip


def is_currency_code(text: str) -> bool:
    """Whether a text is the code of a currency.

    >>> is_currency_code("EUR"), is_currency_code("eur"), is_currency_code("currency")
    (True, False, False)
    """
    return text in CURRENCY_CODES


def currency_code(sign: str) -> str:
    """The code of the currency that a sign or code beside a number means; empty if it means none.

    A sign that several countries use stays a sign.

    >>> currency_code("€"), currency_code("usd"), currency_code("$"), currency_code("pcs")
    ('EUR', 'USD', '$', '')
    """
    if sign in WRITTEN_SMALL or sign in CURRENCY_CODES:
        return sign.upper()
    return CURRENCY_SIGNS.get(sign.upper(), "")


def can_mean(sign: str, code: str) -> bool:
    """Whether a code or a shared sign, as `currency_code` gives it, can mean the currency of a code.

    >>> can_mean("$", "AUD"), can_mean("EUR", "EUR"), can_mean("$", "EUR")
    (True, True, False)
    """
    return sign == code or code in SHARED_SIGNS.get(sign, ())


def are_one_currency(signs: Sequence[str]) -> bool:
    """Whether codes and shared signs can all mean one currency.

    >>> are_one_currency(["$", "USD"]), are_one_currency(["€", "USD"]), are_one_currency([])
    (True, False, True)
    """
    codes = {sign for sign in signs if sign not in SHARED_SIGNS}
    return len(codes) <= 1 and (
        all(can_mean(sign, code) for code in codes for sign in signs) if codes else len(set(signs)) <= 1
    )
