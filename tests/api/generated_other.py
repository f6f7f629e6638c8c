"""A client made by openapi-generator: looks up, delivers, and sends a batch."""

import datetime
import json
import sys
import uuid

sys.path.insert(0, ".")
import other  # noqa: E402

demo = json.load(open(sys.argv[1]))
bank, customer, today = "210099093", "13897210066", datetime.date.today()


def client(name):
    configuration = other.Configuration(host=demo["service"], access_token=demo["tokens"][name])
    return other.ApiClient(configuration)


def lines(*values):
    return "".join(json.dumps(value) + "\n" for value in values).encode()


answer = other.LookupsApi(client("sandbox")).get_customer_relation(
    customer_id=customer, correlation_id=str(uuid.uuid4()), legal_mandate="Test",
    account_info_request_id=str(uuid.uuid4()), from_date=today, to_date=today,
)
assert answer.banks is not None, answer
deliveries = other.DeliveriesApi(client("bank"))
record = {"customerID": customer, "role": "owner", "fromDate": "2020-01-31"}
put = deliveries.put_relationships(bank, register="KAR", confirm_shrink=True, body=lines(record))
assert put.stored == 1, put
end = {"customerID": customer, "fromDate": "2020-01-31", "toDate": "2021-01-31"}
changed = deliveries.post_changes(bank, register="KAR", body=lines({"end": end}))
assert changed.ended == 1, changed
try:
    deliveries.put_relationships(bank, register="KAR", body=lines({"role": "owner"}))
    raise SystemExit("taken")
except other.ApiException as refused:
    assert refused.status == 422, refused
    rejects = deliveries.get_rejects(bank, json.loads(refused.body)["deliveryID"])
assert b"customerID is missing." in bytes(rejects), rejects
other.KFRCallsApi(client("bank")).add_customer_relationships(
    bank, correlation_id=str(uuid.uuid4()), customer_type="DSOPBANK", customers=f"{customer},06894169867#2020-01-31",
)
print("looked up, delivered, changed, refused, batch")
