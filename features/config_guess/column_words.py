"""Words by which names of columns say what a column holds, in many languages.

A name is split into words (`order_id`, `OrderId` and `order id` are `order` and `id`). In the lists below a word stands
for itself; with a star behind it for every word that begins so (`kunde*`: kundennummer), and with a star before it for
every word that ends so (`*datum`: rechnungsdatum). In scripts without spaces
between words (Chinese, Japanese, Thai) it may stand anywhere in the name. In a list an earlier word is a better match.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from features.slugs import feature_slug

LISTS = {
    # Ids: of a customer, an order, a contract, or a row of the log.
    "customer": """customer client buyer shopper household subscriber member user visitor guest patron donor
        player patient student tenant policyholder consumer cust uid kunde* kundin* kaeufer* mitglied* nutzer*
        benutzer* besucher* client* acheteur* abonne* adherent* utilisateur* cliente* comprador* usuario* socio*
        miembro* membro* utente* acquirente* klant* gebruiker* klient* uzytkownik* musteri* kullanici*
        pelanggan* khach kund kunder asiakas* ugyfel* zakaznik* клиент* покупател* пользовател* заказчик*
        клієнт* покупец* عميل* العميل* زبون* مشتری* לקוח* ग्राहक* ลูกค้า 客户 顾客 会员 用户 买家 消费者 客戶
        顧客 會員 用戶 買家 お客様 会員 고객* 회원*""",
    "account": """account konto compte cuenta conta profile person contact persona 账号 账户 帳號 帳戶
        アカウント 계정*""",
    "contract": """policy contract subscription plan lease membership vertrag* police abonnement* contrat*
        contrato* poliza* apolice* suscripcion* assinatura* contratto* polizza* abbonamento* umowa* договор*
        полис* подписк* 保单 合同 订阅 合约 保單 契約 계약*""",
    "order": """invoice order basket transaction receipt trans txn bill visit session checkout cart bestell*
        auftrag* rechnung* beleg* bon commande* facture* ticket* panier* pedido* factura* orden compra* fatura*
        ordine* fattura* scontrino* zamowieni* paragon* faktura siparis* fis order* заказ* чек* накладн*
        замовлен* 订单 单号 交易号 流水号 小票 发票 訂單 注文 伝票 受注 주문*""",
    "row": "event row line record item entry log zeile position ligne linea linha riga wiersz 行号 序号 明细",
    # Money and units.
    "amount": """amount revenue sales spend spent turnover total dollar paid net gross value price betrag*
        *betrag umsatz* summe* gesamt* zahl* erloes* montant* total* paye* chiffre importe* monto* valor* venta*
        ingreso* preco* importo* totale* ricavo* bedrag* omzet* kwota* wartosc* tutar* ciro* сумм* выручк*
        стоимост* оплат* оборот* مبلغ* قیمت* राशि* ยอด 实付 支付金额 成交 金额 销售额 消费额 总价 总额 应付 收入
        金額 總價 売上 合計 금액* 매출*""",
    "price": """price preis* prix precio* preco* prezzo* prijs* cena* fiyat* цен* 单价 价格 售价 單價 単価 価格
        가격* 단가*""",
    "quantity": """quantity qty units pieces number_of num count items menge* anzahl* stueck* quantite* nombre
        cantidad* unidades quantidade* qtd* quantita* aantal* ilosc* adet* miktar* количеств* кол кільк* كمية*
        मात्रा* จำนวน 数量 件数 个数 數量 個数 点数 수량*""",
    "not_amount": """disc discount tax vat unit cost fee margin profit balance count number coupon shipping
        quantity qty id rabatt* steuer* mwst* kosten* versand* remise* taxe* tva frais* livraison* descuento*
        impuesto* iva envio* coste* desconto* imposto* frete* custo* sconto* tassa* spedizion* korting* btw
        podatek* indirim* vergi* скидк* налог* доставк* себестоимост* 优惠 折扣 税 运费 成本 手续费 余额 利润
        单价 積分 积分 折扣 稅 運費 割引 税 送料 할인* 세금* 배송*""",
    "recurring": """mrr arr monthly premium fee rent rate subscription price amount beitrag* gebuehr* miete*
        praemie* abonnement* cotisation* loyer* prime cuota* prima* mensualid* mensalid* canone* premio* czynsz*
        взнос* премия* абон* 月费 保费 租金 年费 会费 月費 保費 料金 요금*""",
    "currency": """currency curr ccy waehrung* devise* monnaie moneda* divisa* moeda* valuta* waluta* валют*
        币种 货币 通貨 통화*""",
    # Times.
    "event_time": """transaction purchase order invoice event sale basket visit timestamp ts date time datetime
        *datum *zeit kauf* bestell* buchung* datum* zeit* achat* commande* date* heure* horodat* compra* pedido*
        venta* fecha* hora* data* acquisto* aankoop* zakup* tarih* zaman* дат* врем* дата* час* تاريخ* تاریخ*
        दिनांक* วันที่ 下单 付款 支付 交易 购买 消费 成交 订单 日期 时间 日付 日時 購入 날짜* 일시* 일자*""",
    "not_event_time": """birth dob signup since created updated modified start end expiry expires ship shipped
        delivery delivered due registered registration joined first last geburt* anmeld* registr* erstellt*
        geaendert* liefer* versand* faellig* ablauf* naissance* inscription* cree* modifi* livraison* expir*
        echeance* nacimiento* alta registro* creado* creacion* entrega* envio* vencimiento* nascimento*
        cadastro* criado* nascita* iscrizion* consegna* spedizion* geboorte* urodzen* рожден* регистрац* создан*
        изменен* доставк* 出生 生日 注册 创建 更新 修改 开始 结束 到期 发货 收货 签收 註冊 更新 生年 登録 発送
        배송* 생년* 등록*""",
    "start": """start started begin began from since effective activation activated subscribed signup issue
        issued inception open opened beginn* anfang* von abschluss* debut* commence* depuis souscription*
        inicio* desde alta inizio* dal poczatek* begin* baslangic* начал* с 开始 起始 生效 起保 开通 签约 開始
        起始 加入 시작* 개시*""",
    "end": """end ended until till expiry expires expired expiration termination terminated cancel cancelled
        canceled cancellation churn churned close closed lapse lapsed stop ende* bis kuendig* ablauf* abgang*
        fin finale resiliation* resilie* expir* fin* baja hasta cancelacion* vencimiento* termino* fim
        cancelamento* fine scadenza* disdetta* koniec* einde* opzeg* bitis* iptal* оконч* конец* расторж* отмен*
        结束 终止 截止 到期 退订 退保 解约 终了 終了 解約 退会 종료* 해지* 만료*""",
    "reason": """cause reason why grund* ursache* raison* motif* motivo* razon* causa* motivazione* powod*
        reden* причин* 原因 理由 사유*""",
    "left_by_choice": """cancel* churn* surrender* lapse* voluntary quit* left leav* unsubscri* withdraw*
        kuendig* resili* baja cancel* disdett* rezygn* отказ* отмен* расторг* 退订 退保 取消 解约 流失 主动 解約
        退会 해지*""",
    # Labels of tables that are no log.
    "label": """churn churned churner attrition attrited exited left lapse lapsed cancelled canceled retained
        inactive stayed target label outcome y abwander* gekuendigt* resilie* fuga* abandono* cancelado* evasao*
        abbandono* rezygnacj* отток* ушел 流失 离网 离职 退订 是否流失 流失標籤 離脱 解約 이탈* 해지*""",
    # What, where and how.
    "kind": """country channel store shop branch region market department category brand product sku stock item
        type device land kanal* filiale* laden* abteilung* kategorie* marke* produkt* artikel* pays canal*
        magasin* rayon* categorie* marque* produit* article* pais tienda* sucursal* categoria* marca* producto*
        articulo* loja* produto* negozio* prodotto* kategoria* sklep* магазин* категори* бренд* товар* продукт*
        канал* регион* 品类 类别 分类 商品 产品 品牌 门店 店铺 渠道 地区 省份 城市 类型 品類 類別 店舗 商品
        카테고리* 상품* 매장* 지역*""",
    "product": """product sku stock item article asin isbn ean upc barcode produkt* artikel* ware* produit*
        article* producto* articulo* produto* prodotto* товар* артикул* 商品 产品 货号 条码 貨號 품목* 상품*""",
    # Of these kinds: what can be offered, and where and how something was bought.
    "offer": """department category subcategory brand genre service course dish menu aisle assortment abteilung*
        kategorie* warengruppe* sortiment* marke* produkt* artikel* rayon* categorie* marque* produit* article*
        categoria* marca* producto* articulo* produto* prodotto* reparto* kategoria* категори* бренд* товар*
        продукт* 品类 类别 分类 品牌 品種 品類 類別 分類 部门 部門 카테고리* 브랜드*""",
    "place": """country channel store shop branch region market marketplace state city province county zip outlet
        warehouse website site platform device browser os app payment carrier delivery shipping source medium
        campaign weekday season land kanal* filiale* laden* markt stadt* bundesland* zahlung* versand* pays canal*
        magasin* ville paiement* livraison* pais tienda* sucursal* ciudad* pago* loja* cidade* pagamento*
        negozio* citta sklep* miasto* магазин* канал* регион* город* 门店 店铺 渠道 地区 省份 城市 国家 支付 配送
        店舗 支店 地域 都市 매장* 지역* 채널*""",
    "personal": """name firstname lastname surname email mail e phone mobile tel fax address street zip postcode
        postal birth dob gender sex age ssn passport iban card ip lat lon latitude longitude token url
        description comment note text title vorname* nachname* telefon* adresse* strasse* plz geburt*
        geschlecht* alter nom prenom* telephone* rue naissance* sexe age nombre apellido* correo* telefono*
        direccion* calle nacimiento* sexo edad nome sobrenome* endereco* nascimento* cognome* indirizzo* naam
        achternaam* imie* nazwisko* adres* имя фамил* отчеств* телефон* почт* адрес* рожден* пол возраст*
        комментар* 姓名 名字 昵称 电话 手机 邮箱 地址 身份证 生日 性别 年龄 备注 姓名 電話 手機 地址 性別 年齡
        備註 氏名 住所 性別 年齢 이름* 전화* 주소* 성별* 나이*""",
    # Parts of a name that only say that it is an id.
    "id": """id no nr num number key code ref uuid guid idx pk fk hash unique nummer* kennung* schluessel*
        numero num cod codigo* codice* clave* chave* chiave* identifiant* identificador* identificativo* numer
        kod номер* код* ид идентификатор* رقم* 编号 号 号码 代码 码 编码 標識 標號 編號 番号 コード आईडी क्रमांक
        번호* 코드* de del do da der des du""",
}
NO_SPACES = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # Thai, kana, Chinese characters
HANGUL = re.compile("[\uac00-\ud7af]")
LONGEST_ENDING = 2  # letters that grammar adds to a stem
NAMED_BY_IDS = ("customer", "account", "contract", "order", "row", "product", "kind")
GLUED_IDS = ("nummer", "number", "numero", "guid", "uuid", "code", "key", "num", "ref", "id", "nr", "no")


def name_words(name: str) -> tuple[str, ...]:
    """The words of a column's name, in lower case, and in the Latin script without accents.

    >>> name_words("CustomerID"), name_words("Número de cliente"), name_words("下单时间")
    (('customer', 'id'), ('numero', 'de', 'cliente'), ('下单时间',))
    """
    spread = name.replace("ß", "ss").replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")
    return tuple(_without_accents(word) for word in feature_slug(spread).split("_") if word)


def match_rank(name: str, role: str) -> int | None:
    """The place of the first word of a list (`LISTS`) that a column's name has; None if it has none.

    >>> match_rank("Kundennummer", "customer") is not None, match_rank("customers_age", "customer")
    (True, None)
    """
    words, exact = name_words(name), feature_slug(name)
    for place, pattern in enumerate(_patterns(role)):
        if _has(words, exact, pattern):
            return place
    return None


def has_word(name: str, *roles: str) -> bool:
    """Whether a column's name has a word of any of the lists."""
    return any(match_rank(name, role) is not None for role in roles)


def names_an_id_of(name: str, role: str) -> bool:
    """Whether a name says that a column holds the ids of something: `customer`, `customer_id`, `Kundennr`, `客户编号`.

    Other words may come before it ('retail_customer_id'), but none after it ('customer_type').

    >>> [names_an_id_of(name, "customer") for name in ("client_no", "id_cliente", "visitorid", "会员号", "会员等级")]
    [True, True, True, True, False]
    """
    words = [word for word in name_words(name) if not _is_id_word(word)]
    if not words:
        return False
    last = _without_glued_id(words[-1])
    if NO_SPACES.search(last):
        return any(last.endswith(word.rstrip("*")) for word in _patterns(role) if NO_SPACES.search(word))
    return any(_is_named(word, pattern) for word in (last, words[-1]) for pattern in _patterns(role))


def has_id_part(name: str) -> bool:
    """Whether a part of a name says that it is an id: `user_id`, `kundennr`, `客户编号`."""
    words = name_words(name)
    return any(_is_id_word(word) for word in words) or any(_without_glued_id(word) != word for word in words)


def is_chinese(names: list[str]) -> bool:
    """Whether names of columns are Chinese: they have Chinese characters, and no Japanese or Korean ones."""
    text = "".join(names)
    return bool(re.search("[\u4e00-\u9fff]", text)) and not re.search("[\u3040-\u30ff\uac00-\ud7af]", text)


@lru_cache
def _patterns(role: str) -> tuple[str, ...]:
    return tuple(LISTS[role].split())


def _has(words: tuple[str, ...], exact: str, pattern: str) -> bool:
    if "_" in pattern:
        return f"_{pattern}_" in f"_{exact}_"
    if NO_SPACES.search(pattern):
        return any(pattern in word for word in words)
    return any(_word_matches(word, pattern) for word in words)


def _word_matches(word: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return word.endswith(pattern[1:])
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


def _is_named(word: str, pattern: str) -> bool:
    """Whether a word is that of a list, perhaps with an ending of its grammar, and not a longer word that begins so."""
    ending = 0 if HANGUL.search(word) else LONGEST_ENDING
    return _word_matches(word, pattern) and len(word) - len(pattern.strip("*")) <= ending


def _is_id_word(word: str) -> bool:
    return any(_word_matches(word, pattern) for pattern in _patterns("id"))


def _without_glued_id(word: str) -> str:
    """A word without an ending such as 'id' in 'visitorid', or 编号 in 客户编号."""
    if NO_SPACES.search(word) or HANGUL.search(word):
        endings = [pattern.rstrip("*") for pattern in _patterns("id") if not pattern.isascii()]
        ending = next((e for e in sorted([*endings, "id"], key=len, reverse=True) if word.endswith(e)), "")
        return word.removesuffix(ending) or word
    for ending in GLUED_IDS:
        rest = word.removesuffix(ending)
        if rest != word and any(_is_named(rest, pattern) for role in NAMED_BY_IDS for pattern in _patterns(role)):
            return rest
    return word


def _without_accents(word: str) -> str:
    """A word of the Latin script without its accents; marks of other scripts belong to their letters."""
    split = unicodedata.normalize("NFD", word)
    plain = "".join(c for c in split if not ("\u0300" <= c <= "\u036f"))
    return plain if plain.isascii() else word
