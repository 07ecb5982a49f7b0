#!/bin/sh
# Makes .venv with Driftline and what running it needs; with names of extras, adds what those need. Versions and hashes
# are those of deploy/lock. Run through `make setup`, which skips it when nothing changed.
set -eu
cd "$(dirname "$0")/../.."

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3 python python3.14; do
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

pip_install() {
    # Without --no-compile pip compiles every file of every library, most of which are never imported.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile "$@"
}

if [ $# -gt 0 ]; then
    for extra in "$@"; do
        if ! [ -f "deploy/lock/$extra.txt" ]; then
            echo "setup: no extra \"$extra\"; there are grafana, influx, archive, river, notices, fuzz, dev" >&2
            exit 2
        fi
        echo "setup: adding what \"$extra\" needs"
        pip_install --require-hashes -r deploy/lock/run.txt -r "deploy/lock/$extra.txt"
        if [ "$extra" = dev ]; then
            echo "setup: compiling every detector for the tests (once, a minute or two)"
            .venv/bin/python -m driftline.compile
        fi
    done
    exit
fi

if ! [ -x .venv/bin/python ] || ! is_new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    make_environment
fi
echo "setup: installing Driftline and its libraries (some hundred megabytes the first time)"
pip_install --require-hashes -r deploy/lock/run.txt -r deploy/lock/build.txt
pip_install --no-deps --no-build-isolation --editable .
