#!/bin/sh
# The alerts, as a PrometheusRule of the Prometheus operator:
#   deploy/kubernetes/prometheus-rule.sh | kubectl apply -f -
set -eu
cat <<'END'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: kundeforhold
spec:
END
sed 's/^/  /' "$(dirname "$0")/../prometheus/alerts.yml"
