#!/usr/bin/env bash
# Measure a GPU within eight minutes on a machine that has PyTorch with CUDA, but neither a package index nor this project.
#
#   benchmarks/gpu.sh wheels [--python-version 3.12] [--have "numpy scipy"]
#       At home: download into .wheels/ what benchmarks/gpu.py needs beside torch, for Linux of this processor; without
#       the packages that the other machine has.
#   benchmarks/gpu.sh [--out FILE] [--device cpu --quick]
#       There, from the repository with .wheels/: install them into a temporary folder, print the table.
#       Options are those of benchmarks/gpu.py. PYTHON names an interpreter other than python3.
set -euo pipefail

MOST_MIB=60         # of wheels, that they can travel with the repository
LIMIT_SECONDS=470   # of everything; what is printed by then stays
CLOSING_SECONDS=20  # of these, to end in
NEEDLESS="torch imagecodecs matplotlib rich typer"  # the first is there, the others are for other formats, figures, commands

python=${PYTHON:-python3}
home=$(cd "$(dirname "$0")/.." && pwd)
wheels=$home/.wheels
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

download() {
  local version have=""
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  while [ $# -gt 0 ]; do
    case $1 in
      --python-version) version=$2 ;;
      --have) have=$2 ;;
      *) echo "gpu.sh wheels: there is no option $1; use --python-version and --have." >&2; exit 2 ;;
    esac
    shift 2
  done
  grep -v '^torch==' "$home/constraints.txt" >"$folder/constraints.txt"
  "$python" - "$home/pyproject.toml" $NEEDLESS >"$folder/requirements.txt" <<'PYTHON'
import re
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    needed = tomllib.load(file)["project"]["dependencies"]
print("\n".join(one for one in needed if re.match(r"[\w-]+", one)[0] not in sys.argv[2:]))
PYTHON
  rm -rf "$wheels"
  "$python" -m pip download -qq --disable-pip-version-check --only-binary=:all: --python-version "$version" \
    -c "$folder/constraints.txt" -r "$folder/requirements.txt" -d "$wheels"
  for name in $have; do
    rm "$wheels/${name//-/_}"-[0-9]*.whl
  done
  "$python" - "$wheels" "$version" "$MOST_MIB" <<'PYTHON'
import sys
from pathlib import Path

folder, version, most = sys.argv[1:]
sizes = {wheel.name: wheel.stat().st_size / 2**20 for wheel in Path(folder).glob("*.whl")}
total = sum(sizes.values())
print(f"{len(sizes)} wheels for Python {version} in .wheels/: {total:.1f} MiB")
if total > float(most):
    largest = " ".join(name.split("-")[0] for name in sorted(sizes, key=sizes.get, reverse=True)[:6])
    sys.exit(f"that is more than the {most} MiB that can travel; name with --have those of these that the other machine has: {largest}")
PYTHON
}

measure() {
  if [ ! -d "$wheels" ]; then
    echo "gpu.sh: $wheels is missing; make it where there is a package index: benchmarks/gpu.sh wheels" >&2
    exit 2
  fi
  # Not a virtual environment: one that is made from another does not see the packages of that, where torch may be.
  "$python" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir \
    --target "$folder/site" "$wheels"/*.whl
  export TMPDIR=$folder PYTHONPATH=$folder/site:$home PYTHONUNBUFFERED=1
  local left=$((LIMIT_SECONDS - SECONDS))
  timeout --signal=INT --kill-after=5 "$left" \
    "$python" "$home/benchmarks/gpu.py" --seconds $((left - CLOSING_SECONDS)) "$@"
}

if [ "${1:-}" = wheels ]; then
  shift
  download "$@"
else
  measure "$@"
fi
