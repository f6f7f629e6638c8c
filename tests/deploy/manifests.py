"""Holds deploy/kubernetes/ against the schemas of Kubernetes, strictly.

Runs in an environment that has kubernetes-validate, which brings the schemas with it. What no schema is found for is an
error, and so is a misspelt key, which is tried out first.
"""

import copy
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

MANIFESTS = pathlib.Path("deploy/kubernetes")
# The oldest and the newest that the manifests are for.
VERSIONS = ("1.29", "1.37")


def problem(document):
    """What is wrong with a manifest; None: nothing."""
    try:
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


manifests = {
    f"{path.name}: {document['kind']} {document['metadata']['name']}": document
    for path in sorted(MANIFESTS.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}
problems = [f"{name}: {found}" for name, document in manifests.items() if (found := problem(document))]
problems += [f"{name}: a misspelt key is not found" for name, it in manifests.items() if not problem(misspelt(it))]
kinds = {document["kind"] for document in manifests.values()}
wanted = {"ConfigMap", "Deployment", "Ingress", "Service", "StatefulSet"}
if kinds != wanted:
    problems.append(f"kinds that are new, or gone: {sorted(kinds ^ wanted)}")
if problems:
    sys.exit("\n".join(problems))
