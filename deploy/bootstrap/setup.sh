#!/bin/sh
# Makes .venv with Driftline and everything it needs. Run through `make setup`, which skips it when nothing changed.
set -eu
cd "$(dirname "$0")/../.."

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "setup: no Python 3.11 or newer on PATH. Install one (Debian, Ubuntu: apt install python3) and try again." >&2
    return 1
}

make_environment() {
    python=$(find_python)
    echo "setup: making .venv with $python ($("$python" -c 'import platform; print(platform.python_version())'))"
    rm -rf .venv
    # Debian and Ubuntu ship venv without ensurepip unless python3-venv is installed; pip comes from the wheel beside this
    # script then.
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        "$python" -m venv --without-pip .venv
        wheel=$(ls deploy/bootstrap/pip-*.whl)
        .venv/bin/python "$wheel/pip" install --quiet --no-index "$wheel"
    fi
}

if ! [ -x .venv/bin/python ] || ! is_new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    make_environment
fi
echo "setup: installing Driftline and its libraries (some hundred megabytes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
echo "setup: compiling what runs for every message (once, up to a minute)"
.venv/bin/python -m driftline.compile
