# Sourced by ./demo and ./check: afterwards .venv holds exactly the locked packages and the
# `layshaft` command, and $state is a folder of ours. Expects $root. Quiet when all is done already.

state=${LAYSHAFT_STATE_DIR:-"$root/.layshaft"}
case $state in /*) ;; *) state=$PWD/$state ;; esac
venv=$root/.venv
setup_log=$state/setup.log

give_up() {
    printf '%s\n' "$@" >&2
    exit 3
}

# A folder with files of somebody else is refused, because --clean removes the whole of it.
make_state_folder() {
    mkdir -p "$state" 2>/dev/null && [ -w "$state" ] ||
        give_up "The state folder $state cannot be written." \
            'Name another one with LAYSHAFT_STATE_DIR.'
    if [ "$state" != "$root/.layshaft" ] && [ ! -e "$state/.layshaft-state" ] &&
        [ -n "$(ls -A "$state")" ]; then
        give_up "The state folder $state holds files that are not ours." \
            'Name an empty or new one with LAYSHAFT_STATE_DIR.'
    fi
    : >"$state/.layshaft-state"
}

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            return
        fi
    done
    give_up 'Layshaft needs Python 3.11 or newer with the venv module.' \
        'Install it with: apt-get install -y python3 python3-venv'
}

quietly() {
    "$@" >>"$setup_log" 2>&1 </dev/null || {
        tail -n 5 "$setup_log" >&2
        give_up "Setting up the virtual environment failed at: $*" "Log: $setup_log"
    }
}

# Every version is locked, so pip has nothing to resolve.
install() {
    quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps --no-compile "$@"
}

# True if the stamp $1 in the virtual environment says $2.
stamped() {
    [ "$2" = "$(cat "$venv/.$1" 2>/dev/null)" ]
}

make_venv() {
    find_python
    locked=$({
        cat requirements/build.txt requirements/dev.txt
        "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
        echo "$root"
    } | sha256sum)
    if ! stamped locked "$locked"; then
        echo 'Setting up the virtual environment from the lock file ...' >&2
        : >"$setup_log"
        quietly "$python" -m venv --clear "$venv"
        install --require-hashes -r requirements/build.txt -r requirements/dev.txt
        echo "$locked" >"$venv/.locked"
    fi
    project=$(cat setup.cfg pyproject.toml | sha256sum)
    if ! stamped project "$project"; then
        install --no-build-isolation --editable .
        echo "$project" >"$venv/.project"
    fi
}

cd "$root"
make_state_folder
# One at a time: ./demo and ./check share the virtual environment.
exec 9<"$root"
flock 9
make_venv
exec 9<&-
export LAYSHAFT_STATE_DIR="$state"
