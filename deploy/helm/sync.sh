#!/usr/bin/env bash
# Write what the chart holds but does not own: schema and defaults from appliance/chart/, the starter pool and the
# dashboards from config/. tests/deploy/ refuses a chart in which they differ.
set -euo pipefail
cd "$(dirname "$0")/../.."
appliance=${APPLIANCE:-.venv/bin/appliance}
chart=deploy/helm/appliance

write() { # file, command…: nothing is half-written where the command fails
  "${@:2}" >"$1.part" && mv "$1.part" "$1" || { rm -f "$1.part"; return 1; }
}

write "$chart/values.schema.json" "$appliance" chart schema
write "$chart/values.yaml" "$appliance" chart defaults
write "$chart/files/starter.yaml" "$appliance" chart config config/starter.yaml
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
sed -i -e "s/^version: .*/version: $version/" -e "s/^appVersion: .*/appVersion: \"$version\"/" "$chart/Chart.yaml"
mkdir -p "$chart/files/dashboards"
rm -f "$chart"/files/dashboards/*.json
for file in config/dashboards/*.json; do
  [[ ! -e $file ]] || cp "$file" "$chart/files/dashboards/"
done
