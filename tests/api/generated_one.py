"""A client made by openapi-python-client: looks up, delivers, and sends a batch."""

import datetime
import io
import json
import sys
import uuid

sys.path.insert(0, ".")
from one import AuthenticatedClient  # noqa: E402
from one.api.deliveries import get_rejects, post_changes, put_relationships  # noqa: E402
from one.api.kfr_calls import add_customer_relationships  # noqa: E402
from one.api.lookups import get_customer_relation  # noqa: E402
from one.models import AddCustomerRelationshipsBody  # noqa: E402
from one.types import File  # noqa: E402

demo = json.load(open(sys.argv[1]))
bank, customer, today = "210099093", "13897210066", datetime.date.today()


def client(name):
    return AuthenticatedClient(base_url=demo["service"], token=demo["tokens"][name])


def lines(*values):
    return File(payload=io.BytesIO("".join(json.dumps(value) + "\n" for value in values).encode()))


answer = get_customer_relation.sync_detailed(
    client=client("sandbox"), customer_id=customer, correlation_id=str(uuid.uuid4()), legal_mandate="Test",
    account_info_request_id=str(uuid.uuid4()), from_date=today, to_date=today,
)
assert answer.status_code == 200 and answer.parsed.banks is not None, answer
record = {"customerID": customer, "role": "owner", "fromDate": "2020-01-31"}
put = put_relationships.sync_detailed(bank, client=client("bank"), body=lines(record), register="KAR", confirm_shrink=True)
assert put.status_code == 200 and put.parsed.stored == 1, put
end = {"customerID": customer, "fromDate": "2020-01-31", "toDate": "2021-01-31"}
changed = post_changes.sync_detailed(bank, client=client("bank"), body=lines({"end": end}), register="KAR")
assert changed.status_code == 200 and changed.parsed.ended == 1, changed
refused = put_relationships.sync_detailed(bank, client=client("bank"), body=lines({"role": "owner"}), register="KAR")
assert refused.status_code == 422 and refused.parsed.rejects[0].line == 1, refused
rejects = get_rejects.sync_detailed(bank, refused.parsed.delivery_id, client=client("bank"))
assert rejects.status_code == 200 and b"customerID is missing." in rejects.content, rejects
body = AddCustomerRelationshipsBody(customer_type="DSOPBANK", customers=f"{customer},06894169867#2020-01-31")
batch = add_customer_relationships.sync_detailed(bank, client=client("bank"), body=body, correlation_id=str(uuid.uuid4()))
assert batch.status_code == 201, batch
print("looked up, delivered, changed, refused, batch")
