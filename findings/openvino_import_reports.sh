#!/usr/bin/env bash
# `import openvino` alone makes an identity in the user's folder and reports the import, without being asked.
#
# Setting: openvino with what its package requires (openvino-telemetry among it), a fresh home folder, no CI.
# Expected: a library that is imported writes nothing and sends nothing; a tool asks first, as its own command line does.
# Seen: two files in ~/intel, an identity for Google Analytics and a counter. The package's `Telemetry` counts a missing
#   answer as consent where no dialog is enabled, and `openvino/tools/ovc/__init__.py` sends an event when it is imported,
#   which `import openvino` does. Without openvino-telemetry (or with CI=true) nothing is written.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    openvino==2026.4.1 openvino-telemetry==2025.2.0 numpy==2.4.6
cd "$folder"
mkdir with without
"$folder/venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i openvino
unset CI TF_BUILD JENKINS_URL
# a proxy that is not there: nothing leaves this machine
export https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9
HOME=$folder/with venv/bin/python -c 'import openvino'
HOME=$folder/without venv/bin/python -c 'import sys; sys.modules["openvino_telemetry"] = None; import openvino'
echo "with openvino-telemetry, import openvino wrote:"
find with -type f | sort
echo "without: $(find without -type f | wc -l) files"
[ -f with/intel/openvino_ga_cid ] || { echo "changed: an import makes no identity any more"; exit 1; }
[ -z "$(find without -type f)" ] || { echo "changed: something is written without it, too"; exit 1; }
