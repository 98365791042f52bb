#!/bin/sh
# What a borrowed GPU is asked, in one command and at most 8 minutes; installs nothing.
#
#   benchmarks/device.sh [--json FILE] [--quick] [--device cuda:0] [--python PATH] ...
#
# Python is --python, else $PYTHON, else .venv/bin/python, else python3: the first that has torch.
# This package need not be installed there, but what it depends on must be found: also in folders
# named in PYTHONPATH, which is kept. All other arguments are those of device.py.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

wanted=${PYTHON:-}
count=$#
while [ "$count" -gt 0 ]; do # all arguments once, without --python
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
    --python)
        [ "$count" -gt 0 ] || { echo "device.sh: --python needs the path of a Python." >&2; exit 2; }
        wanted=$1
        shift
        count=$((count - 1))
        ;;
    --python=*) wanted=${argument#--python=} ;;
    *) set -- "$@" "$argument" ;;
    esac
done

has_torch() { # without importing it, which takes seconds
    "$1" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null
}

python=
if [ -n "$wanted" ]; then
    has_torch "$wanted" && python=$wanted
else
    for candidate in "$root/.venv/bin/python" python3; do
        if has_torch "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    looked=${wanted:-"$root/.venv/bin/python and python3"}
    echo "device.sh: no torch in $looked; name a Python that has it: --python PATH." >&2
    exit 2
fi

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" "$root/benchmarks/device.py" "$@"
