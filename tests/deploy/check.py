"""What promtool, systemd and the service do not check themselves: deploy/ against itself, and against /metrics."""

import json
import pathlib
import re
import sys

import yaml

DEPLOY = pathlib.Path("deploy")
# Counted for the first time when it happens: its labels are not known before.
LATER = {"kundeforhold_unusual_days_total"}
problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def headings():
    text = (DEPLOY / "RUNBOOK.md").read_text()
    lines = [line.lstrip("# ").strip().lower() for line in text.splitlines() if line.startswith("## ")]
    return {re.sub(r"[^a-z0-9 -]", "", line).replace(" ", "-") for line in lines}


def metrics_exist(told):
    names = set(re.findall(r"^# TYPE (\S+)", told, re.M)) | LATER
    described = set(re.findall(r"^# HELP (\S+)", told, re.M))
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    rules = [rule for group in rules["groups"] for rule in group["rules"]]
    expect(len(rules) > 10, "there are few alerts")
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expect(len(targets) > 20, "the dashboard shows little")
    for expression in [rule["expr"] for rule in rules] + [target["expr"] for target in targets]:
        named = re.findall(r"\b(?:kundeforhold|process)_[a-z_]+", expression)
        expect(named, f"names no metric: {expression}")
        for name in named:
            expect(re.sub(r"_(bucket|sum|count)$", "", name) in names, f"{name} is not in /metrics")
    for name in names - LATER:
        expect(name.startswith(("kundeforhold_", "process_")), f"{name} has no prefix")
        expect(name in described, f"{name} is not described")
    for link in re.findall(r"\]\(#([^)]*)\)", (DEPLOY / "RUNBOOK.md").read_text()):
        expect(link in headings(), f"the runbook has no section #{link}")
    told = set(re.findall(r"`(Kundeforhold\w+)`", (DEPLOY / "RUNBOOK.md").read_text()))
    alerts = {rule["alert"] for rule in rules}
    expect(told == alerts, f"alerts that the runbook lacks, or that are no more: {told ^ alerts}")
    for rule in rules:
        page, _, heading = rule["annotations"]["runbook"].partition("#")
        expect(page == "RUNBOOK.md" and heading in headings(), f"{rule['alert']} names no heading of the runbook")
        expect(rule["labels"]["severity"] in ("page", "ticket"), f"{rule['alert']} has no severity")
    ids = [panel["id"] for panel in dashboard["panels"]]
    expect(len(ids) == len(set(ids)), "panels share an id")


def keys(path):
    """Section and name of every key, commented out or not."""
    section, found = "", set()
    for line in path.read_text().splitlines():
        if header := re.match(r"^\[([a-z_.]+)\]$", line):
            section = header[1]
        elif key := re.match(r"^(?:# )?([a-z_0-9]+) = ", line):
            found.add((section, key[1]))
    return found


def example_is_of_known_keys():
    example = keys(DEPLOY / "kundeforhold.example.toml")
    unknown = example - keys(pathlib.Path("src/config.default.toml"))
    expect(not unknown, f"no such keys: {unknown}")
    expect(len(example) > 5, "keys are not found")


def is_a_cache(command):
    """A bound on memory, the least asked for goes first, and nothing is kept."""
    said = " ".join(command)
    return re.search(r"--maxmemory \d+[mg]b", said) and "--maxmemory-policy allkeys-lru" in said and "--appendonly no" in said


def compose_holds_together():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    wanted = {"kundeforhold", "redis", "prometheus", "grafana"}
    expect(set(services) == wanted, f"services: {sorted(services)}")
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith("."):
                expect(source in compose["volumes"], f"{name}: no volume {source}")
            elif source != "./keys":
                expect((DEPLOY / source).exists(), f"{name}: {source} is not there")
        depends = service.get("depends_on", [])
        expect(set(depends) <= set(services), f"{name} depends on what is not there")
    service = services["kundeforhold"]
    expect(service["read_only"] and service["cap_drop"] == ["ALL"], "the service is not closed")
    expect("data:/data" in service["volumes"], "the register is not on a volume")
    expect("deploy" not in service, "one process serves one SQLite file")
    expect(is_a_cache(services["redis"]["command"]), "Redis is not set up as a cache")
    build = service["build"]
    expect((DEPLOY / build["context"] / build["dockerfile"]).exists(), "no Containerfile")


def container_is_closed():
    lines = (DEPLOY / "Containerfile").read_text()
    expect(len(re.findall(r"^FROM ", lines, re.M)) == 2, "the Containerfile has not two stages")
    expect(re.search(r"^USER 10001", lines, re.M), "the container runs as root")
    expect(re.search(r'^HEALTHCHECK .*"kundeforhold", "healthcheck"', lines, re.M), "no health check")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", lines, re.M):
        for path in source.split():
            expect(pathlib.Path(path).exists(), f"the Containerfile copies {path}")


def pods(document):
    if document["kind"] in ("Deployment", "StatefulSet"):
        yield document["spec"]["template"]


def kubernetes_holds_together():
    documents = []
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        documents += [document for document in yaml.safe_load_all(path.read_text())]
    labels = [pod["metadata"]["labels"] for document in documents for pod in pods(document)]
    config_maps = {document["metadata"]["name"] for document in documents if document["kind"] == "ConfigMap"}
    services = {document["metadata"]["name"] for document in documents if document["kind"] == "Service"}
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        expect("apiVersion" in document, f"{name} has no apiVersion")
        selector = document.get("spec", {}).get("selector", {})
        selector = selector.get("matchLabels", selector)
        fits = any(selector.items() <= own.items() for own in labels)
        expect(fits or document["kind"] in ("ConfigMap", "Ingress"), f"{name} selects nothing")
        for backend in re.findall(r"'service': {'name': '([^']+)'", str(document)):
            expect(backend in services, f"{name}: no service {backend}")
        if document["kind"] == "StatefulSet":
            expect(document["spec"]["replicas"] == 1, f"{name}: one process serves one SQLite file")
            expect(document["spec"]["volumeClaimTemplates"], f"{name} keeps nothing")
        for pod in pods(document):
            for container in pod["spec"]["containers"]:
                expect(container["name"] != "redis" or is_a_cache(container["args"]), f"{name} is not set up as a cache")
            pod_is_closed(name, document, pod["spec"], config_maps)


def pod_is_closed(name, document, spec, config_maps):
    expect(spec["securityContext"]["runAsNonRoot"], f"{name} may run as root")
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    claims = document["spec"].get("volumeClaimTemplates", [])
    known = set(volumes) | {claim["metadata"]["name"] for claim in claims}
    for volume in volumes.values():
        expect(volume.get("configMap", {}).get("name", "kundeforhold") in config_maps, f"{name}: no ConfigMap")
    for container in spec["containers"]:
        security = container["securityContext"]
        closed = security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
        expect(closed and security["capabilities"]["drop"] == ["ALL"], f"{name} is not closed")
        expect({mount["name"] for mount in container["volumeMounts"]} <= known, f"{name} mounts what is not there")
        ports = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            for kind in ("httpGet", "tcpSocket"):
                asked = container[probe].get(kind, {}).get("port")
                expect(asked is None or asked in ports, f"{name}: {probe} asks no port")
        expect("memory" in container["resources"]["limits"], f"{name} has no bound on memory")


metrics_exist(pathlib.Path(sys.argv[1]).read_text())
example_is_of_known_keys()
compose_holds_together()
container_is_closed()
kubernetes_holds_together()
if problems:
    sys.exit("\n".join(problems))
