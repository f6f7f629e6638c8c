"""Holds deploy/kubernetes/ and deploy/nais.yaml against the schemas of Kubernetes, strictly.

Runs in an environment that has kubernetes-validate, which brings the schemas with it. What no schema is found for is an
error, and so is a misspelt key, which is tried out first. Of what clusters add themselves (the Prometheus operator, NAIS)
no schema can be had here: of these, the keys that are used are listed below, as their documentation names them.
"""

import copy
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

DEPLOY = pathlib.Path("deploy")
# The oldest and the newest that the manifests are for.
VERSIONS = ("1.29", "1.37")
TEXT, NUMBER, SWITCH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def only(*required, **keys):
    """An object with no other keys."""
    return {"type": "object", "properties": keys, "required": list(required), "additionalProperties": False}


def several(of):
    return {"type": "array", "items": of, "minItems": 1}


def resource(spec):
    return only("apiVersion", "kind", "metadata", "spec", apiVersion=TEXT, kind=TEXT, spec=spec,
                metadata=only("name", name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS))


RULE = only("alert", "expr", "labels", "annotations", alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS, **{"for": TEXT})
ADDED = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): resource(only(
        "selector", "endpoints", jobLabel=TEXT, selector=only("matchLabels", matchLabels=TEXTS),
        endpoints=several(only("port", port=TEXT, interval=TEXT)))),
    ("monitoring.coreos.com/v1", "PrometheusRule"): resource(only(
        "groups", groups=several(only("name", "rules", name=TEXT, rules=several(RULE))))),
}


PROBE = only("path", "port", path=TEXT, port=NUMBER, periodSeconds=NUMBER, failureThreshold=NUMBER)
NAIS = only(
    "image", "port", "liveness", "readiness", "prometheus", image=TEXT, port=NUMBER, ingresses=several(TEXT),
    replicas=only("min", "max", min=NUMBER, max=NUMBER), strategy=only("type", type={"enum": ["RollingUpdate", "Recreate"]}),
    terminationGracePeriodSeconds=NUMBER, liveness=PROBE, readiness=PROBE,
    prometheus=only("enabled", enabled=SWITCH, path=TEXT, port=TEXT),
    resources=only(requests=TEXTS, limits=TEXTS), maskinporten=only("enabled", enabled=SWITCH),
    filesFrom=several(only("configmap", "mountPath", configmap=TEXT, mountPath=TEXT)), envFrom=several(only("secret", secret=TEXT)),
    gcp=only("sqlInstances", sqlInstances=several(only(
        "type", "databases", type={"type": "string", "pattern": r"^POSTGRES_\d+$"}, tier={"type": "string", "pattern": "^db-"},
        highAvailability=SWITCH, pointInTimeRecovery=SWITCH, diskType={"enum": ["SSD", "HDD"]}, diskSize=NUMBER,
        diskAutoresize=SWITCH, flags=several(only("name", "value", name=TEXT, value=TEXT)),
        databases=several(only("name", name=TEXT, envVarPrefix=TEXT))))),
    valkey=several(only("instance", "access", instance=TEXT, access={"enum": ["read", "write", "readwrite", "admin"]})),
    env=several(only("name", "value", name=TEXT, value=TEXT)))
ADDED["nais.io/v1alpha1", "Application"] = resource(NAIS)


def problem(document):
    """What is wrong with a manifest; None: nothing."""
    try:
        if schema := ADDED.get((document["apiVersion"], document["kind"])):
            jsonschema.validate(document, schema)
            return None
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as cause:
        return cause.message
    return None


def misspelt(document):
    """The manifest with one key more, two levels down."""
    changed = copy.deepcopy(document)
    changed["data" if "data" in changed else "spec"]["replica"] = {"no": "such"}
    return changed


texts = {path.name: path.read_text() for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))}
texts["nais.yaml"] = (DEPLOY / "nais.yaml").read_text()
manifests = {
    f"{name}: {document['kind']} {document['metadata']['name']}": document
    for name, text in texts.items()
    for document in yaml.safe_load_all(text)
}
problems = [f"{name}: {found}" for name, document in manifests.items() if (found := problem(document))]
problems += [f"{name}: a misspelt key is not found" for name, it in manifests.items() if not problem(misspelt(it))]
kinds = {document["kind"] for document in manifests.values()}
wanted = {"Application", "ConfigMap", "CronJob", "Deployment", "Ingress", "Job", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule",
          "Service", "ServiceMonitor"}
if kinds != wanted:
    problems.append(f"kinds that are new, or gone: {sorted(kinds ^ wanted)}")
if problems:
    sys.exit("\n".join(problems))
