"""Words in the names of columns, in many languages."""

from __future__ import annotations

import pytest

from features.config_guess.column_words import has_id_part, has_word, is_chinese, match_rank, names_an_id_of

CUSTOMERS = """customer CustomerID CUSTOMER_ID client_no household_key user_id member uid visitorid customer_unique_id
    Kundennr Kunden-Nummer id_client code_client id_cliente usuario_id klantnummer id_klienta musteri_no ID_клиента
    номер_покупателя 客户编号 会员号 用户ID 用户 買家編號 顧客番号 会員ID 고객번호 ลูกค้า عميل_رقم""".split()
NO_CUSTOMERS = """customer_name customer_since customer_type user_agent client_email kundengruppe order_id product
    amount 客户等级 用户性别 买家昵称 顧客名 회원등급""".split()
ORDERS = """InvoiceNo order_id basket_id TransactionID Bestellnummer numero_de_pedido facture_no номер_заказа 订单号
    注文番号""".split()
NO_ORDERS = "order_date order_status 订单金额 订单状态 ordered_by_mail country".split()


@pytest.mark.parametrize("name", CUSTOMERS)
def test_names_of_customers(name: str) -> None:
    assert names_an_id_of(name, "customer")


@pytest.mark.parametrize("name", NO_CUSTOMERS)
def test_what_is_said_of_customers_is_no_customer(name: str) -> None:
    assert not names_an_id_of(name, "customer")


def test_names_of_orders() -> None:
    assert [name for name in ORDERS if not names_an_id_of(name, "order")] == []
    assert [name for name in NO_ORDERS if names_an_id_of(name, "order")] == []


@pytest.mark.parametrize(
    ("name", "role", "other"),
    [
        ("实付金额", "amount", "not_amount"),
        ("Betrag", "amount", "not_amount"),
        ("сумма_заказа", "amount", "not_amount"),
        ("订单金额", "amount", "not_amount"),
        ("下单时间", "event_time", "not_event_time"),
        ("Rechnungsdatum", "event_time", "not_event_time"),
        ("付款日期", "event_time", "not_event_time"),
        ("fecha", "event_time", "not_event_time"),
    ],
)
def test_words_of_money_and_times(name: str, role: str, other: str) -> None:
    assert has_word(name, role)
    assert not has_word(name, other)


@pytest.mark.parametrize("name", ["优惠金额", "discount_amount", "unit_cost", "运费", "скидка"])
def test_money_that_is_no_amount(name: str) -> None:
    assert has_word(name, "not_amount")


@pytest.mark.parametrize(
    "name", ["出生日期", "注册时间", "Geburtsdatum", "date_of_birth", "fecha_nacimiento", "created_at"]
)
def test_times_that_are_no_events(name: str) -> None:
    assert has_word(name, "not_event_time")


def test_an_earlier_word_is_a_better_match() -> None:
    assert (match_rank("sales_value", "amount") or 0) < (match_rank("price", "amount") or 0)
    assert match_rank("colour", "amount") is None


def test_parts_that_say_only_that_something_is_an_id() -> None:
    assert all(has_id_part(name) for name in ("user_id", "kundennr", "客户编号", "visitorid"))
    assert not any(has_id_part(name) for name in ("paid", "country", "客户等级", "c1"))


def test_chinese_names_are_recognised_and_japanese_ones_are_not() -> None:
    assert is_chinese(["订单号", "amount"]) and not is_chinese(["amount"]) and not is_chinese(["注文番号", "お客様"])
