"""What promtool, systemd and the service do not check themselves: deploy/ against itself, and against /metrics."""

import json
import pathlib
import re
import sys
import tomllib

import yaml

DEPLOY = pathlib.Path("deploy")
# Counted for the first time when it happens: its labels are not known before.
LATER = {"kundeforhold_unusual_days_total"}
# What Prometheus itself and kube-state-metrics tell.
OF_OTHERS = r"^\(?(up\{job=\"kundeforhold\"|kube_(job|cronjob)_status_)"
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
        expect(named or re.search(OF_OTHERS, expression), f"names no metric: {expression}")
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


def is_of_known_keys(name, settings):
    known = keys(pathlib.Path("src/config.default.toml"))
    used = {(section, key) for section, of_section in settings.items() if isinstance(of_section, dict) for key in of_section}
    used |= {("", key) for key, value in settings.items() if not isinstance(value, dict)}
    expect(len(used) > 2 and used <= known, f"{name}: no such keys: {used - known}")


def serves_postgres(name, settings):
    """One of several instances: the schema is left to the owner of the tables, and no password stands in the URL."""
    is_of_known_keys(name, settings)
    store = settings["store"]
    login = re.match(r"postgres://([a-z_]+)@", store["url"])
    expect(login and login[1] == "kundeforhold_service", f"{name} does not serve PostgreSQL by the role for it")
    expect(store["migrate"] is False, f"{name} migrates")


def default(section, key):
    return tomllib.loads(pathlib.Path("src/config.default.toml").read_text())[section][key]


def compose_holds_together():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    instances = ["kundeforhold-1", "kundeforhold-2"]
    wanted = {*instances, "migrate", "proxy", "postgres", "redis", "prometheus", "grafana"}
    expect(set(services) == wanted, f"services: {sorted(services)}")
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith("."):
                expect(source in compose["volumes"], f"{name}: no volume {source}")
            else:
                expect((DEPLOY / source).exists(), f"{name}: {source} is not there")
        depends = service.get("depends_on", [])
        expect(set(depends) <= set(services), f"{name} depends on what is not there")
        expect(set(service.get("secrets", [])) <= set(compose["secrets"]), f"{name} reads a secret that is not there")
        if name not in ("prometheus", "grafana"):
            expect(service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} is not closed")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"{name} is open to other machines")
    settings = tomllib.loads((DEPLOY / "compose/kundeforhold.toml").read_text())
    serves_postgres("compose", settings)
    for name in instances:
        expect("owner.password" not in services[name]["secrets"], f"{name} has the owner's password")
        expect(services[name]["depends_on"]["migrate"], f"{name} does not wait for its schema")
        expect("deploy" not in services[name], f"{name} is one instance")
    files = re.findall(r"/run/secrets/([a-z.]+)", str(settings) + (DEPLOY / "compose/passwords.sql").read_text())
    expect(len(files) > 4 and set(files) <= set(compose["secrets"]), f"secrets that are not there: {files}")
    targets = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    expect(targets[0]["targets"] == [f"{name}:9090" for name in instances], "Prometheus does not ask the instances")
    proxy_waits_long_enough(instances)
    expect(is_a_cache(services["redis"]["command"]), "Redis is not set up as a cache")
    build = services["migrate"]["build"]
    expect((DEPLOY / build["context"] / build["dockerfile"]).exists(), "no Containerfile")


def proxy_waits_long_enough(instances):
    proxy = (DEPLOY / "compose/haproxy.cfg").read_text()
    expect(re.findall(r"^    server (\S+) \1:8080$", proxy, re.M) == instances, "the proxy does not ask the instances")
    seconds = {name: int(value) for name, value in re.findall(r"^    timeout (\S+) (\d+)s$", proxy, re.M)}
    expect(seconds["server"] > default("delivery", "publish_timeout_seconds"), "the proxy gives up before a publication")
    expect(seconds["client"] > default("delivery", "pause_seconds"), "the proxy gives up before a pause is over")


def container_is_closed():
    lines = (DEPLOY / "Containerfile").read_text()
    expect(len(re.findall(r"^FROM ", lines, re.M)) == 2, "the Containerfile has not two stages")
    expect(re.search(r"^USER 10001", lines, re.M), "the container runs as root")
    # The environment goes before the configuration, which says where the register is.
    expect("KUNDEFORHOLD__STORE" not in lines, "the image says where the register is")
    expect(re.search(r"^WORKDIR /$", lines, re.M) and default("store", "url") == "sqlite:./data/register.sqlite",
           "the register is not on the volume")
    expect(re.search(r'^HEALTHCHECK .*"kundeforhold", "healthcheck"', lines, re.M), "no health check")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", lines, re.M):
        for path in source.split():
            expect(pathlib.Path(path).exists(), f"the Containerfile copies {path}")


def documents():
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def pod(document):
    """The pod that it makes, if any."""
    match document["kind"]:
        case "Deployment" | "Job":
            return document["spec"]["template"]
        case "CronJob":
            return document["spec"]["jobTemplate"]["spec"]["template"]


def named(kind):
    """What of this kind there is, or is made by hand as the README says."""
    said = (DEPLOY / "README.md").read_text()
    by_hand = re.findall(rf"^kubectl create {kind.lower()} (?:generic |tls )?(\S+)", said, re.M)
    return {document["metadata"]["name"] for document in documents() if document["kind"] == kind} | set(by_hand)


def selectors(document):
    """The labels by which it finds pods."""
    spec = document["spec"]
    match document["kind"]:
        case "Deployment" | "PodDisruptionBudget":
            yield spec["selector"]["matchLabels"]
        case "Service":
            yield spec["selector"]
        case "NetworkPolicy":
            yield spec["podSelector"]["matchLabels"]


def release():
    return tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]


def kubernetes_holds_together():
    pods = {f"{document['kind']} {document['metadata']['name']}": it for document in documents() if (it := pod(document))}
    ports = {name: {port["name"]: port["containerPort"] for container in it["spec"]["containers"]
                    for port in container.get("ports", [])} for name, it in pods.items()}
    for document in documents():
        name = f"{document['kind']} {document['metadata']['name']}"
        for labels in selectors(document) if "spec" in document else ():
            found = [key for key, it in pods.items() if labels.items() <= it["metadata"]["labels"].items()]
            expect(found, f"{name} selects nothing")
            if document["kind"] in ("Service", "PodDisruptionBudget"):
                expect(len(found) == 1, f"{name} selects {found}")
            if document["kind"] == "Service":
                for port in document["spec"]["ports"]:
                    expect(port["targetPort"] in ports[found[0]], f"{name}: no port {port['targetPort']}")
        for backend in re.findall(r"'service': {'name': '([^']+)'", str(document)):
            expect(backend in named("Service"), f"{name}: no service {backend}")
        for kind, pattern in (("Secret", r"'secret(?:KeyRef': {'name|Name)': '([^']+)'"), ("ConfigMap", r"'configMap': {'name': '([^']+)'")):
            for used in re.findall(pattern, str(document)):
                expect(used in named(kind), f"{name}: nobody makes the {kind} {used}")
    for name, it in pods.items():
        pod_is_closed(name, it["spec"])
    images = {container["image"] for it in pods.values() for container in it["spec"]["containers"]}
    expect({image for image in images if "redis" not in image} == {f"kundeforhold:{release()}"}, f"another release: {images}")


def pod_is_closed(name, spec):
    security = spec["securityContext"]
    expect(security["runAsNonRoot"] and security["seccompProfile"]["type"] == "RuntimeDefault", f"{name} is not closed")
    expect(spec["automountServiceAccountToken"] is False, f"{name} may ask the cluster")
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        security = container["securityContext"]
        closed = security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
        expect(closed and security["capabilities"]["drop"] == ["ALL"], f"{name} is not closed")
        expect({mount["name"] for mount in container["volumeMounts"]} == volumes, f"{name} mounts what is not there")
        expect("memory" in container["resources"]["limits"], f"{name} has no bound on memory")
        expect(container["name"] != "redis" or is_a_cache(container["args"]), f"{name} is not set up as a cache")
        if spec.get("restartPolicy") == "Never":
            continue
        ports = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            for kind in ("httpGet", "tcpSocket"):
                asked = container[probe].get(kind, {}).get("port")
                expect(asked is None or asked in ports, f"{name}: {probe} asks no port")


def kubernetes_serves_several():
    """What lets pods come and go: see the comments of the manifests."""
    by_name = {(document["kind"], document["metadata"]["name"]): document for document in documents()}
    settings = tomllib.loads(by_name["ConfigMap", "kundeforhold"]["data"]["kundeforhold.toml"])
    serves_postgres("kubernetes", settings)
    deployment = by_name["Deployment", "kundeforhold"]["spec"]
    expect(deployment["replicas"] > 1, "one instance is not several")
    expect(deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, "a pod ends before another one is ready")
    grace = deployment["template"]["spec"]["terminationGracePeriodSeconds"]
    expect(grace > settings["server"]["drain_seconds"] + 30, "a pod is killed amid its drain")
    ingress_waits_long_enough(by_name["Ingress", "kundeforhold"])
    opened = [port["port"] for rule in by_name["NetworkPolicy", "kundeforhold"]["spec"]["ingress"] for port in rule["ports"]]
    expect(opened == [8080, 9090], f"open: {opened}")
    migrate = by_name["Job", f"kundeforhold-migrate-{release()}"]
    expect("kundeforhold_owner@" in str(migrate) and "kundeforhold-postgres-owner" in str(migrate), "nobody migrates as owner")
    expect("owner" not in str(by_name["Deployment", "kundeforhold"]), "the service has the owner's password")
    verify = by_name["CronJob", "kundeforhold-audit-verify"]["metadata"]["name"]
    expect(f'cronjob="{verify}"' in (DEPLOY / "prometheus/alerts.yml").read_text(), "nobody is told of a record that does not prove")
    monitor = by_name["ServiceMonitor", "kundeforhold"]["spec"]
    management = by_name["Service", "kundeforhold-management"]
    expect(monitor["selector"]["matchLabels"].items() <= management["metadata"]["labels"].items(), "the ServiceMonitor selects nothing")
    expect(management["metadata"]["labels"][monitor["jobLabel"]] == "kundeforhold", "the job has another name")
    expect(monitor["endpoints"][0]["port"] == management["spec"]["ports"][0]["name"], "the ServiceMonitor asks no port")
    alerts = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    expect(by_name["PrometheusRule", "kundeforhold"]["spec"] == alerts, "the PrometheusRule has other alerts")


def ingress_waits_long_enough(document):
    of_nginx = {key.removeprefix("nginx.ingress.kubernetes.io/"): value
                for key, value in document["metadata"]["annotations"].items()}
    kind = document["kind"]
    expect(int(of_nginx["proxy-body-size"].removesuffix("g")) << 30 >= default("delivery", "max_body_bytes"),
           f"the {kind} refuses whole sets")
    expect(of_nginx["proxy-request-buffering"] == "off", f"the {kind} keeps whole sets")
    expect(int(of_nginx["proxy-read-timeout"]) > default("delivery", "publish_timeout_seconds"),
           f"the {kind} gives up before a publication")


def nais_holds_together():
    """What NAIS names is what is read: variables of the database by their prefix, those of Valkey by its name."""
    config, application = yaml.safe_load_all((DEPLOY / "nais.yaml").read_text())
    spec = application["spec"]
    settings = tomllib.loads(config["data"]["kundeforhold.toml"])
    is_of_known_keys("nais.yaml", settings)
    expect(settings["store"]["url"] == "postgres:", "the variables of libpq are not read")
    expect(spec["terminationGracePeriodSeconds"] > settings["server"]["drain_seconds"] + 30, "a pod is killed amid its drain")
    expect([files["configmap"] for files in spec["filesFrom"]] == [config["metadata"]["name"]], "no such ConfigMap")
    ingress_waits_long_enough(application)
    env = {variable["name"]: variable["value"] for variable in spec["env"]}
    read = set(re.findall(r'"(PG[A-Z]+)"', pathlib.Path("src/config/store.rs").read_text()))
    expect({name for name in env if name.startswith("PG")} == read, f"of libpq: {read}")
    prefix = spec["gcp"]["sqlInstances"][0]["databases"][0]["envVarPrefix"]
    of_database = "HOST PORT DATABASE USERNAME PASSWORD SSLMODE SSLROOTCERT SSLCERT SSLKEY".split()
    of_valkey = [f"VALKEY_{what}_{spec['valkey'][0]['instance'].upper()}" for what in ("HOST", "PORT", "USERNAME", "PASSWORD")]
    used = re.findall(r"\$\((\w+)\)", str(env))
    expect(sorted(used) == sorted([f"{prefix}_{what}" for what in of_database] + of_valkey), f"named by nobody, or left out: {used}")
    for name in [*env, "KUNDEFORHOLD__PSEUDONYM__KEY", "KUNDEFORHOLD__RECORD__KEYS"]:
        if name.startswith("KUNDEFORHOLD__"):
            section = name.lower().split("__")[1]
            expect(section in tomllib.loads(pathlib.Path("src/config.default.toml").read_text()), f"{name} is no setting")
    ports = spec["liveness"]["port"], spec["readiness"]["port"], int(spec["prometheus"]["port"])
    expect(ports == (9090, 9090, 9090) and spec["port"] == 8080, "a port that is not served")


metrics_exist(pathlib.Path(sys.argv[1]).read_text())
example_is_of_known_keys()
compose_holds_together()
container_is_closed()
kubernetes_holds_together()
kubernetes_serves_several()
nais_holds_together()
if problems:
    sys.exit("\n".join(problems))
