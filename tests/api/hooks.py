"""What schemathesis does not bring by itself: a body of one JSON record a line, never compressed."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    lines = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(line) for line in lines).encode()


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    """Bodies are made as they stand, so no other encoding may be claimed for them; and a line at a time, by the schema
    that `x-line` names."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {})
            if "x-line" in content.get("application/x-ndjson", {}):
                content["application/x-ndjson"]["schema"] = content["application/x-ndjson"]["x-line"]
                del content["application/octet-stream"]
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "Content-Encoding":
                    parameter["schema"]["pattern"] = "^identity$"


@schemathesis.hook
def filter_case(ctx, case):
    """A header that nobody knows is no reason to refuse a request. The tool knows that too, but not beside a number, which
    it takes for a text."""
    return not any("unknown-property" in name.lower() for name in case.headers or {})
