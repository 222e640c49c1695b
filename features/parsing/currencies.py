"""Currencies: their codes (ISO 4217), and the signs by which people write them beside a number."""

from __future__ import annotations

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
# Upper case; a plain dollar or yen sign is read as the commonest currency that uses it.
CURRENCY_SIGNS = {
    "$": "USD", "US$": "USD", "USD$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD",
    "HK$": "HKD", "S$": "SGD", "R$": "BRL", "MX$": "MXN", "NT$": "TWD", "€": "EUR", "EURO": "EUR", "£": "GBP",
    "¥": "JPY", "￥": "JPY", "円": "JPY", "JP¥": "JPY", "CN¥": "CNY", "元": "CNY", "RMB": "CNY", "₹": "INR", "RS": "INR",
    "RS.": "INR", "₽": "RUB", "РУБ": "RUB", "РУБ.": "RUB", "₩": "KRW", "원": "KRW", "₺": "TRY", "TL": "TRY", "₫": "VND",
    "₴": "UAH", "₦": "NGN", "฿": "THB", "₪": "ILS", "₱": "PHP", "ZŁ": "PLN", "KČ": "CZK", "LEI": "RON",
    "ЛВ": "BGN", "ЛВ.": "BGN", "KR": "SEK", "KR.": "DKK", "FR.": "CHF", "SFR.": "CHF", "RM": "MYR", "RP": "IDR",
}  # fmt: skip


def is_currency_code(text: str) -> bool:
    """Whether a text is the code of a currency.

    >>> is_currency_code("EUR"), is_currency_code("eur"), is_currency_code("currency")
    (True, False, False)
    """
    return text in CURRENCY_CODES


def currency_code(sign: str) -> str:
    """The code of the currency that a sign or code beside a number means; empty if it means none.

    >>> currency_code("€"), currency_code("usd"), currency_code("pcs")
    ('EUR', 'USD', '')
    """
    if sign in WRITTEN_SMALL or sign in CURRENCY_CODES:
        return sign.upper()
    return CURRENCY_SIGNS.get(sign.upper(), "")
