"""Live pages: what `live()` shows, to whom, and that a client can go on from there."""

from __future__ import annotations

import datetime
import enum
import json
import re
import secrets
import threading
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import flask_login
import mongoengine as me
import pytest
from bson import ObjectId
from flask import Flask, g, render_template, request
from flask.testing import FlaskClient
from jinja2 import DictLoader, UndefinedError
from mongoengine import Q
from mongoengine.context_managers import switch_collection

from tests import harness
from tests.apps.desk import Flight
from tests.harness import Database
from wsflask import WebSocketServer
from wsflask.access.names import FieldNames
from wsflask.errors import ConfigError, Refusal
from wsflask.feed.base import Change
from wsflask.live.asking import parse_subscribe, query_for
from wsflask.live.loads import load_rows
from wsflask.live.markup import in_markup, is_one_element
from wsflask.live.querysets import name_of
from wsflask.live.rows import RowsView
from wsflask.live.sealing import opened, sealed
from wsflask.live.view import Query
from wsflask.tasks import spawn

NOON = datetime.datetime(2013, 2, 8, 12, 0, tzinfo=datetime.UTC)


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class PageCustomer(me.Document):
    code = me.StringField(primary_key=True)
    name = me.StringField()
    meta = {"collection": "page_customers"}


class Address(me.EmbeddedDocument):
    city = me.StringField(db_field="c")


class Order(me.Document):
    status = me.StringField(db_field="st")
    total = me.IntField()
    items = me.ListField(me.StringField())
    size = me.EnumField(Size)
    placed = me.DateTimeField()
    day = me.DateField()
    price = me.Decimal128Field()
    customer = me.ReferenceField(PageCustomer)
    anything = me.DynamicField()
    ratio = me.FloatField()
    address = me.EmbeddedDocumentField(Address)
    margin = me.IntField()
    secret = me.IntField()
    meta = {"collection": "page_orders"}


class Vehicle(me.Document):
    plate = me.StringField()
    meta = {"collection": "page_vehicles", "allow_inheritance": True, "ordering": ["-plate"]}


class Truck(Vehicle):
    pass


class Nested(me.Document):
    addresses = me.ListField(me.EmbeddedDocumentField(Address), db_field="places")
    extra = me.DictField()


class Unlisted(me.Document):
    pass


class User(flask_login.UserMixin):
    """ann and cleo read all orders, dora the open ones, others nothing; ann sees margins."""

    def __init__(self, name: str) -> None:
        self.id = name


def orders_of(user: User) -> Any:
    if user.id == "dora":
        return [{"fn": "status", "op": "==", "val": "open"}]
    return user.id in ("ann", "cleo")


SHOWN = ("status", "total", "items", "size", "placed", "day", "price", "customer", "anything", "ratio", "address")
TEMPLATES = {
    "order_row.html": "<p class='order'>{{ order.status }} {{ row.total }} {{ order.margin }}</p>",
    "other_row.html": "<p>{{ order.total }}</p>",
}


class Site:
    """An application with templates; `show` renders a line of Jinja for a user."""

    def __init__(self) -> None:
        self.app = Flask("orders")
        self.app.secret_key = "a key for the tests, and for nothing else"
        flask_login.LoginManager(self.app).user_loader(User)
        self.templates = dict(TEMPLATES)
        self.app.jinja_loader = DictLoader(self.templates)
        self.server = WebSocketServer(self.app, services=[])
        self.server.expose(PageCustomer, fields=("name",), acl=lambda user: True)
        self.server.expose(
            Order, fields=SHOWN, hidden=("margin",), acl=orders_of, show_hidden=lambda user: user.id == "ann"
        )
        self.server.expose(Vehicle, fields=("plate",), acl=lambda user: True)

        @self.app.get("/login/<name>")
        def login(name: str) -> str:
            flask_login.login_user(User(name))
            return name

        @self.app.get("/")
        def index() -> str:
            g.only = "in the request"
            return render_template("page.html", shown=self._shown, Order=Order, User=User)

        @self.app.get("/orders/<key>")
        def order(key: str) -> str:
            return key

        self._shown: Any = None

    def show(self, line: str, user: str | None = "ann", *, shown: Any = None) -> str:
        """Return the page that has this line; `shown` can be used in it."""
        self.templates["page.html"], self._shown = line, shown
        self.app.jinja_env.cache.clear()  # type: ignore[union-attr]
        self.app.testing = True
        client: FlaskClient = self.app.test_client()
        if user is not None:
            client.get(f"/login/{user}")
        return client.get("/").text

    def live(self, shown: Any = Order, user: str | None = "ann", **options: Any) -> Container:
        """Return what `live` shows."""
        self.templates["order_row.html"] = self.templates["order_row.html"]
        options = {"template": "order_row.html", **options}
        return Container(self.show(f"{{{{ live(shown, **{options!r}) }}}}", user, shown=shown))

    def query(self, container: Container, user: str = "ann") -> Query:
        """Return the query that a socket of the user gets for the container."""
        data = {"live": container.attributes["data-wsflask-live"]}
        asked = parse_subscribe(data, lambda text: opened(text, self.server))
        query, _ = query_for(asked, User(user), self.server.exposures, self.server.settings)
        return in_markup(query, asked.template, self.server.render_row)


class Container(HTMLParser):
    """The element that `live` gives."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tag = ""
        self.attributes: dict[str, str] = {}
        self.ids: list[Any] = []
        self.feed(html)
        _, _, rest = html.partition(">")
        self.inner = rest.rpartition("</")[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if not self.tag:
            self.tag, self.attributes = tag, found
        elif "data-wsflask-id" in found:
            self.ids.append(json.loads(found["data-wsflask-id"]))

    @property
    def rows(self) -> list[str]:
        """The text of each row."""
        return [re.sub(r"<.*?>", "", row).strip() for row in self.inner.split("\n") if row]

    def opened(self, site: Site) -> dict[str, Any]:
        """Return what the server reads in the sealed text."""
        return opened(self.attributes["data-wsflask-live"], site.server)


@pytest.fixture
def site(database: Database) -> Site:
    return Site()


def position(at: Any) -> str:
    """Return the position of a cluster time."""
    return f"{(at.time << 32) + at.inc:020d}"


def now(database: Database) -> str:
    """Return the position of the present."""
    return position(database.client.admin.command("ping")["operationTime"])


# --- what is shown


def test_a_page_shows_the_rows_with_their_ids_and_the_position(site: Site, database: Database) -> None:
    one, two = Order(status="open", total=1).save(), Order(status="open", total=2).save()
    Order(status="shut", total=3).save()
    before = now(database)
    container = site.live(Order.objects(status="open").order_by("total"))
    one.update(total=9)

    assert container.tag == "div"
    assert container.rows == ["open 1", "open 2"]
    assert container.ids == [str(one.pk), str(two.pk)]
    assert before <= container.attributes["data-wsflask-seq"] < now(database)


def test_the_rows_are_exactly_those_of_the_position(site: Site, database: Database) -> None:
    """Every write up to the position is in the page, and none after it."""
    key = Order(status="", total=0).save().pk
    written: list[str] = []
    is_over = threading.Event()

    def write() -> None:
        with database.client.start_session() as session:
            while not is_over.is_set():
                database["page_orders"].update_one({"_id": key}, {"$inc": {"total": 1}}, session=session)
                written.append(position(session.operation_time))

    writer = spawn("writer", write)
    shown = [site.live(Order)]
    while len({container.inner for container in shown}) < 10 and len(shown) < 1000:
        shown.append(site.live(Order))
    is_over.set()
    assert writer.join(10)

    for container in shown:
        seq = container.attributes["data-wsflask-seq"]
        assert container.rows == [str(sum(at <= seq for at in written))]
    assert len({container.inner for container in shown}) == 10


def test_a_class_shows_all_its_rows(site: Site) -> None:
    Order(status="open", total=1).save()
    Order(status="shut", total=2).save()

    assert sorted(site.live(Order).rows) == ["open 1", "shut 2"]


def test_a_container_without_rows_is_live_too(site: Site) -> None:
    container = site.live(Order.objects(status="open"))

    assert container.inner == ""
    assert set(container.attributes) >= {"data-wsflask-live", "data-wsflask-view"}


def test_a_table_has_its_rows_in_a_tbody(site: Site) -> None:
    site.templates["tr.html"] = "  <!-- a row -->\n<tr class=a><td>{{ order.total }}</td></tr>\n"
    key = Order(total=1).save().pk
    container = site.live(Order, template="tr.html", tag="tbody")

    assert container.tag == "tbody"
    assert container.inner == f"<tr data-wsflask-id='\"{key}\"' class=a><td>1</td></tr>"


def test_order_and_limit_are_the_querysets_or_those_of_the_call(site: Site) -> None:
    for total in (1, 3, 2):
        Order(status="", total=total).save()

    assert site.live(Order.objects.order_by("-total")[:2]).rows == ["3", "2"]
    assert site.live(Order.objects.order_by("-total")[:2], order_by="total", limit=1).rows == ["1"]
    assert site.live(Order, order_by=["-total", "status"], limit=2).rows == ["3", "2"]


def test_values_are_escaped(site: Site) -> None:
    Order(status="<script>alert(1)</script>", total=1).save()
    container = site.live(Order)

    assert "<script" not in container.html
    assert "&lt;script&gt;" in container.html


@pytest.mark.parametrize("key", ["it's", '"><b>', "a&quot;b", "ü", "</p>"])
def test_an_id_comes_back_as_it_was(site: Site, key: str) -> None:
    class Keyed(me.Document):
        own = me.StringField(primary_key=True)
        meta = {"collection": "page_keyed"}

    site.server.expose(Keyed, fields=("own",), acl=lambda user: True)
    site.templates["keyed.html"] = "<br>"
    Keyed(own=key).save()

    assert site.live(Keyed, template="keyed.html").ids == [key]


def test_the_template_gets_the_values_of_json_and_the_fields_before_the_methods_of_dicts(site: Site) -> None:
    Order(items=["a", "b"], placed=NOON, day=NOON, address=Address(city="Rome")).save()
    site.templates["row.html"] = (
        "<p>{{ order.items|join('+') }} {{ row.placed }} {{ order.day }} {{ order.address.city }} "
        "{{ order.keys()|length > 3 }} {{ order.unknown }}</p>"
    )

    assert site.live(Order, template="row.html").rows == ["a+b 2013-02-08T12:00:00Z 2013-02-08 Rome True"]


def test_fields_are_named_or_are_a_catalog(site: Site) -> None:
    Order(status="open", total=1, customer=PageCustomer(code="UA", name="United").save()).save()
    site.templates["row.html"] = "<p>{{ row|tojson }}</p>"
    named = site.live(Order, template="row.html", fields=["status", "margin"])
    expanded = site.live(Order, template="row.html", fields={"customer": {"name": None}})

    assert "total" not in named.inner
    assert "margin" not in named.inner
    assert '"customer": {"_id": "UA", "name": "United"}' in expanded.inner


# --- rights


@pytest.mark.parametrize("user", [None, "eve"])
def test_without_a_right_the_element_is_empty_and_tells_nothing(site: Site, user: str | None) -> None:
    Order(status="open", total=1).save()

    assert site.live(Order.objects(status="open"), user).html == "<div></div>"


def test_one_who_may_read_some_documents_sees_those(site: Site) -> None:
    Order(status="open", total=1).save()
    Order(status="shut", total=2).save()

    assert site.live(Order, "dora").rows == ["open 1"]


def test_a_hidden_field_is_never_in_a_row(site: Site) -> None:
    """Also not for one who may see it where he asks for it."""
    Order(status="open", total=1, margin=77).save()
    site.templates["row.html"] = "<p>{{ order.margin }}{{ row|tojson }}</p>"

    assert "77" not in site.live(Order, template="row.html").inner
    assert "77" not in site.live(Order, template="row.html", fields=["margin"]).inner


def test_a_condition_or_an_order_on_a_field_one_does_not_see_shows_him_nothing(site: Site) -> None:
    Order(status="open", total=1, margin=77).save()

    assert site.live(Order.objects(margin=77), "ann").rows == ["open 1"]
    assert site.live(Order.objects(margin=77), "cleo").html == "<div></div>"
    assert site.live(Order.objects.order_by("margin"), "cleo").html == "<div></div>"


# --- the subscription that goes on


def test_the_sealed_text_says_what_the_page_shows(site: Site) -> None:
    queryset = Order.objects(status="open", total__gte=5).order_by("-total").limit(7)
    container = site.live(queryset, fields=["total"])

    assert container.opened(site) == {
        "class_name": "Order",
        "data_scope": [{"fn": "status", "op": "==", "val": "open"}, {"fn": "total", "op": ">=", "val": 5}],
        "catalog": {"total": None},
        "order_by": ["-total"],
        "limit": 7,
        "template": "order_row.html",
        "show_hidden": False,
    }


def test_a_subscription_has_the_view_and_the_rows_of_the_page(site: Site) -> None:
    Order(status="open", total=1).save()
    container = site.live(Order.objects(status="open"))
    query = site.query(container)
    (row,) = load_rows(query, site.server.settings).rows.values()

    assert query.name(site.server.secret) == container.attributes["data-wsflask-view"]
    assert json.loads(row.body) == {"_id": container.ids[0], "html": container.inner}


def test_equal_pages_of_equal_rights_share_a_view_and_others_do_not(site: Site) -> None:
    def view(user: str, **options: Any) -> str:
        return site.live(Order, user, **options).attributes["data-wsflask-view"]

    assert view("ann") == view("cleo") == view("ann", tag="section")
    assert len({view("ann"), view("dora"), view("ann", template="other_row.html"), view("ann", fields=["total"])}) == 4


def test_a_change_is_rendered_once_and_only_where_the_html_differs(site: Site) -> None:
    order = Order(status="open", total=1).save()
    container = site.live(Order.objects(status="open"))
    view = RowsView(site.query(container), "v")
    view.begin_load()
    view.finish_load(load_rows(view.query, site.server.settings))

    def change(**values: Any) -> Any:
        order.update(**values)
        raw = Order._get_collection().find_one({"_id": order.pk})
        return next(iter(view.apply(Change("1" * 20, "U", "page_orders", order.pk, raw))), None)

    assert change(secret=5) is None
    assert change(ratio=0.5) is None
    emission = change(total=2)
    assert emission.op == "U"
    html = f"<p data-wsflask-id='\"{order.pk}\"' class='order'>open 2 </p>"
    assert json.loads(emission.body) == {"_id": str(order.pk), "html": html}
    assert html == site.live(Order.objects(status="open")).inner
    assert change(status="shut").op == "R"


def test_who_hands_a_sealed_text_back_is_judged_himself(site: Site) -> None:
    container = site.live(Order, "ann")

    with pytest.raises(Refusal, match="not_found"):
        site.query(container, "eve")
    assert not site.query(container, "dora").access.allows_everything


def test_a_sealed_text_cannot_be_altered(site: Site) -> None:
    text = site.live(Order).attributes["data-wsflask-live"]
    other = Site()
    other.app.secret_key = "another key"

    for wrong in (text[:-1] + ("A" if text[-1] != "A" else "B"), "." + text, text[1:], "", "a.b", "ü", text * 2):
        with pytest.raises(Refusal, match="bad_data"):
            opened(wrong, site.server)
    with pytest.raises(Refusal, match="bad_data"):
        opened(text, other.server)


def test_nothing_can_be_asked_for_beside_a_sealed_text(site: Site) -> None:
    text = site.live(Order).attributes["data-wsflask-live"]

    for wrong in ({"live": 5}, {"live": text, "limit": 5}, {"live": text, "show_hidden": True}):
        with pytest.raises(Refusal, match="bad_data"):
            parse_subscribe(wrong, lambda text: opened(text, site.server))
    with pytest.raises(Refusal, match="bad_data"):
        parse_subscribe({"live": text})


def test_a_sealed_text_of_another_version_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsflask.live.sealing._VERSION", 2)
    text = sealed({"class_name": "Order"}, site.server)
    monkeypatch.undo()

    with pytest.raises(Refusal, match="bad_data"):
        opened(text, site.server)


# --- QuerySets

CUSTOMER = PageCustomer(code="UA")
KEY = ObjectId("585a88b208b199f61004d968")


@pytest.mark.parametrize(
    ("queryset", "scope"),
    [
        (lambda: Order.objects, []),
        (lambda: Order.objects(total__gte=5, total__lt=9), [("total", ">=", 5), ("total", "<", 9)]),
        (lambda: Order.objects(total__gt=5), [("total", ">", 5)]),
        (lambda: Order.objects(total__lte=5), [("total", "<=", 5)]),
        (lambda: Order.objects(status__ne="open"), [("status", "!=", "open")]),
        (lambda: Order.objects(status=None), [("status", "==", None)]),
        (lambda: Order.objects(status__ne=None), [("status", "!=", None)]),
        (lambda: Order.objects(status__in=["a", "b"]), [("status", "in", ["a", "b"])]),
        (lambda: Order.objects(Q(total__gt=1) & Q(total__gt=2)), [("total", ">", 1), ("total", ">", 2)]),
        (lambda: Order.objects(pk=KEY), [("_id", "==", str(KEY))]),
        (lambda: Order.objects(items="a"), [("items", "==", "a")]),
        (lambda: Order.objects(size=Size.LARGE), [("size", "==", "l")]),
        (lambda: Order.objects(placed__gt=NOON), [("placed", ">", "2013-02-08T12:00:00Z")]),
        (lambda: Order.objects(day=NOON.date()), [("day", "==", "2013-02-08T00:00:00Z")]),
        (lambda: Order.objects(price__lt="9.90"), [("price", "<", "9.90")]),
        (lambda: Order.objects(customer=CUSTOMER), [("customer", "==", "UA")]),
        (lambda: Order.objects(total=2**60), [("total", "==", str(2**60))]),
        (lambda: Order.objects(__raw__={"st": {"$eq": "open"}}), [("status", "==", "open")]),
        (lambda: Order.objects(address__city="Rome"), [("address.city", "==", "Rome")]),
        (lambda: Vehicle.objects(plate="A"), [("plate", "==", "A")]),
    ],
)
def test_a_queryset_becomes_a_scope(site: Site, queryset: Callable[[], Any], scope: list[tuple[str, str, Any]]) -> None:
    found = site.live(queryset()).opened(site)["data_scope"]

    assert found == [{"fn": name, "op": op, "val": value} for name, op, value in scope]


def test_a_base_class_shows_its_subclasses_in_its_own_order(site: Site) -> None:
    Vehicle(plate="A").save()
    Truck(plate="B").save()
    site.templates["vehicle.html"] = "<p>{{ vehicle.plate }}</p>"

    assert site.live(Vehicle, template="vehicle.html").rows == ["B", "A"]
    assert site.live(Vehicle.objects.order_by(), template="vehicle.html").opened(site)["order_by"] is None


def test_a_queryset_of_nothing_shows_nothing(site: Site) -> None:
    Order(total=1).save()

    assert site.live(Order.objects.none()).html == "<div></div>"
    assert site.live(Order.objects[:0]).html == "<div></div>"


@pytest.mark.parametrize(
    ("queryset", "sentence"),
    [
        (lambda: Order.objects(Q(total=1) | Q(total=2)), r"\$or has no equal"),
        (lambda: Order.objects(total__nin=[1]), r"\$nin has no equal"),
        (lambda: Order.objects(total__exists=True), r"\$exists has no equal"),
        (lambda: Order.objects(total__not__gt=5), r"\$not has no equal"),
        (lambda: Order.objects(status__startswith="a"), "no form in JSON|cannot be compared|has no equal"),
        (lambda: Order.objects(status__iexact="a"), "no form in JSON|cannot be compared|has no equal"),
        (lambda: Order.objects(items=["a", "b"]), "'items' cannot be compared"),
        (lambda: Order.objects(items__size=2), r"\$size has no equal"),
        (lambda: Order.objects(anything=NOON), "'anything' is compared with has no form in JSON"),
        (lambda: Order.objects(ratio=float("nan")), "'ratio' is compared with has no form in JSON"),
        (lambda: Order.objects(secret=1), "'secret' is not exposed; list it"),
        (lambda: Order.objects(address=Address(city="Rome")), "'address' cannot be compared"),
        (lambda: Order.objects(total__in=range(1001)), "more than 1000 values"),
        (
            lambda: Order.objects(__raw__={"$and": [{"total": {"$gt": n}} for n in range(21)]}),
            "more than 20 conditions",
        ),
        (lambda: Order.objects(__raw__={"$where": "1"}), r"\$where has no equal"),
        (lambda: Order.objects.where("1"), "judged by the database alone"),
        (lambda: Order.objects.search_text("a"), "judged by the database alone"),
        (lambda: Order.objects.skip(5), "skip"),
        (lambda: Order.objects.only("total"), "write fields="),
        (lambda: Order.objects.exclude("total"), "write fields="),
        (lambda: Order.objects.collation({"locale": "de"}), "collation"),
        (lambda: Order.objects.order_by("secret"), "ordered by 'secret'"),
        (lambda: Order.objects.order_by(__raw__=[("total", "text")]), "ordered by 'total'"),
        (lambda: Vehicle.objects().no_sub_classes(), "'_cls' is not exposed"),
    ],
)
def test_what_a_subscription_cannot_ask_for_is_told(site: Site, queryset: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        site.live(queryset())


@pytest.mark.parametrize(
    ("shown", "options", "sentence"),
    [
        (Unlisted, {}, "Unlisted is not exposed; write server.expose"),
        (Truck, {}, "Truck is not exposed"),
        ([1], {}, "not list"),
        (Order, {"tag": "p onclick=x"}, "the tag is"),
        (Order, {"fields": "total"}, r"write fields=\('total',\)"),
        (Order, {"fields": {"total": 5}}, "would be refused with bad_data"),
        (Order, {"limit": 0}, "the limit is 0"),
        (Order, {"limit": 2000}, "would be refused with too_big"),
        (Order, {"template": 5}, "the template is 5"),
        (Order, {"template": "row.txt"}, "ends in .html"),
        (Order, {"template": "two.html"}, "one element"),
    ],
)
def test_misuse_is_told(site: Site, shown: Any, options: dict[str, Any], sentence: str) -> None:
    site.templates["two.html"] = "<p></p><p></p>"
    Order(total=1).save()

    with pytest.raises(ConfigError, match=sentence):
        site.live(shown, **options)


def test_more_than_a_client_may_send_back_is_told(site: Site) -> None:
    many = [secrets.token_hex(50) for _ in range(1000)]

    with pytest.raises(ConfigError, match="too many values"):
        site.live(Order.objects(status__in=many))


def test_a_queryset_of_another_collection_is_told(site: Site) -> None:
    with switch_collection(Order, "page_archive") as archive:
        archived = archive.objects.clone()

    with pytest.raises(ConfigError, match="another collection"):
        site.live(archived)


def test_a_path_has_the_names_of_attributes() -> None:
    names = FieldNames(Nested)

    assert name_of(names, "_id") == "_id"
    assert name_of(names, "places.c") == "addresses.city"
    assert name_of(names, "places.unknown.x") == "addresses.unknown.x"
    assert name_of(names, "extra.key") == "extra.key"


def test_more_rows_than_a_view_holds_are_told(site: Site) -> None:
    Order.objects.insert([Order(total=number) for number in range(3)])
    object.__setattr__(site.server.settings, "view_max_rows", 2)

    with pytest.raises(ConfigError, match="too_big"):
        site.live(Order)
    assert len(site.live(Order, limit=2).rows) == 2


# --- the template of a row


def test_a_row_is_rendered_without_a_request(site: Site) -> None:
    Order(total=1).save()
    site.app.context_processor(lambda: {"mine": request.path})
    site.templates["row.html"] = "<p>{{ mine }}{{ g.only }}</p>"
    site.templates["asks.html"] = "<p>{{ request.path }}</p>"
    site.templates["user.html"] = "<p>{{ current_user.id }}</p>"

    assert site.live(Order, template="row.html").rows == [""]
    with pytest.raises(RuntimeError, match="outside of request context"):
        site.live(Order, template="asks.html")
    with pytest.raises(UndefinedError, match="current_user"):
        site.live(Order, template="user.html")


def test_a_row_has_links_filters_and_macros(site: Site) -> None:
    key = Order(total=1).save().pk
    site.app.config["APPLICATION_ROOT"] = "/shop"
    site.app.add_template_filter(lambda value: f"{value} EUR", "money")
    site.templates["macros.html"] = "{% macro to(key) %}{{ url_for('order', key=key, _anchor='top') }}{% endmacro %}"
    site.templates["row.html"] = (
        "{% from 'macros.html' import to %}<a href='{{ to(order._id) }}'>{{ order.total|money }}"
        "{{ url_for('order', key='a b', sort=1) }}</a>"
    )
    container = site.live(Order, template="row.html")

    assert f"href='/shop/orders/{key}#top'>1 EUR/shop/orders/a%20b?sort=1</a>" in container.inner


def test_an_absolute_link_needs_the_servers_name(site: Site) -> None:
    Order(total=1).save()
    site.templates["row.html"] = "<p>{{ url_for('order', key='a', _external=True) }}</p>"

    with pytest.raises(RuntimeError, match="SERVER_NAME"):
        site.live(Order, template="row.html")


def test_live_has_no_place_in_a_row(site: Site) -> None:
    Order(total=1).save()
    site.templates["row.html"] = "<p>{{ live(1, 'row.html') }}</p>"

    with pytest.raises(ConfigError, match="template of a row"):
        site.live(Order, template="row.html")


def test_a_template_that_fails_in_a_worker_spoils_its_row_alone(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.templates["row.html"] = "<p>{{ 12 // order.total }}</p>"
    Order(total=1).save()
    container = site.live(Order, template="row.html")
    bad = Order(total=0).save()
    rows = [json.loads(row.body) for row in load_rows(site.query(container), site.server.settings).rows.values()]

    assert {"_id": str(bad.pk), "html": None} in rows
    assert container.inner in [row["html"] for row in rows]
    assert "row.html failed for a row: ZeroDivisionError" in caplog.text
    with pytest.raises(ZeroDivisionError):
        site.live(Order, template="row.html")


@pytest.mark.parametrize("text", ["", "text", "{{ order.status }}"])
def test_a_row_begins_with_a_tag_of_the_template(site: Site, text: str) -> None:
    """What a document says is no tag, for it is escaped."""
    Order(status="<b>").save()
    site.templates["row.html"] = text

    with pytest.raises(ValueError, match="gives an element"):
        site.live(Order, template="row.html")


@pytest.mark.parametrize(
    ("html", "is_one"),
    [
        ("<p>a<b>c</b></p>", True),
        (" <!-- a --> <div><div></div>a</div> ", True),
        ("<tr><td>a<td>b", True),
        ("<br>", True),
        ("<img src=a />", True),
        ("<svg><path/></svg>", True),
        ("", False),
        ("a", False),
        ("<p></p>a", False),
        ("a<p></p>", False),
        ("<p></p><p></p>", False),
        ("<br><br>", False),
        ("<div><div></div></div><b></b>", False),
    ],
)
def test_one_element_is_told_from_none_and_from_more(html: str, is_one: bool) -> None:
    assert is_one_element(html) is is_one


# --- the whole way


def test_a_client_goes_on_from_the_page_on_any_worker(
    database: Database, servers: harness.Servers, sockets: harness.Sockets
) -> None:
    """What changed between the page and the subscription comes as a change; nothing is loaded again."""
    one, two = (Flight(flight=name, gate="A1", status="open").save() for name in ("UA1", "UA2"))
    server = servers.gunicorn("tests.apps.live_page:app", workers=2, env={"WSFLASK_MONGODB_URI": database.uri})
    cookie = harness.login(server.base_url, "ann")
    request = urllib.request.Request(f"{server.base_url}/flights/open", headers={"Cookie": cookie})
    with urllib.request.urlopen(request) as answer:
        page = Container(answer.read().decode())
    one.update(gate="B2")
    data: dict[str, Any] = {
        "live": page.attributes["data-wsflask-live"],
        "view": page.attributes["data-wsflask-view"],
        "start_seq": page.attributes["data-wsflask-seq"],
        "rows": page.ids,
    }

    assert page.rows == ["UA1: A1", "UA2: A1"]
    clients = [sockets.connect(server.ws_url, cookie=cookie) for _ in range(4)]
    for client in clients:
        client.send("documents", {"action": "subscribe", "data": data}, id="1")
        reply = client.expect("documents", where=lambda message: message.get("id") == "1")["payload"]
        assert (reply["state"], reply["rows"], reply["view"]) == ("resumed", 1, data["view"])
        assert html_of(client) == f"<p data-wsflask-id='\"{one.pk}\"'>UA1: B2</p>"
    two.update(gate="C3")
    for client in clients:
        assert html_of(client) == f"<p data-wsflask-id='\"{two.pk}\"'>UA2: C3</p>"
    client.send("documents", {"action": "subscribe", "data": {**data, "live": data["live"] + "A"}}, id="2")
    assert client.expect("error")["payload"]["code"] == "bad_data"
    eve = sockets.connect(server.ws_url, cookie=harness.login(server.base_url, "eve"))
    eve.send("documents", {"action": "subscribe", "data": data}, id="3")
    assert eve.expect("error")["payload"]["code"] == "not_found"


def html_of(client: harness.WebSocketClient) -> Any:
    """Return the HTML of the next change."""
    message = client.expect("documents", where=lambda message: "message" in message["payload"])
    return message["payload"]["message"]["html"]


# --- the documentation


def test_the_example_of_the_documentation_runs(database: Database) -> None:
    text = (harness.ROOT / "docs" / "documents.md").read_text().partition("## Live pages")[2]
    blocks = re.findall(r"```(python|jinja)\n(.*?)```", text, re.DOTALL)
    app = Flask("example")
    app.secret_key = "a key for the tests, and for nothing else"
    flask_login.LoginManager(app).user_loader(User)
    app.add_url_rule("/login", view_func=lambda: str(flask_login.login_user(User("ann"))), endpoint="login")
    pages = [source for kind, source in blocks if kind == "jinja"]
    app.jinja_loader = DictLoader({re.search(r"templates/(\S+)", page)[1]: page for page in pages})  # type: ignore[index]
    known: dict[str, Any] = {
        **{name: getattr(me, name) for name in ("Document", "StringField", "DecimalField")},
        "app": app,
        "server": WebSocketServer(app, services=[]),
        "login_required": flask_login.login_required,
        "render_template": render_template,
        "__name__": __name__,
    }
    exec(next(source for kind, source in blocks if kind == "python"), known)
    for customer, total, status in (("ann", 5, "open"), ("bob", 9, "open"), ("eve", 7, "shut")):
        known["Order"](customer=customer, total=total, status=status).save()
    client = app.test_client()
    client.get("/login")
    shown = client.get("/orders").text

    assert re.findall(r"<a href=\"/orders/\w{24}\">(\w+)</a>", shown) == ["bob", "ann"]
    assert re.search(
        r'<tbody data-wsflask-live="\S+" data-wsflask-view="\S+" data-wsflask-seq="\d{20}"><tr data-', shown
    )
