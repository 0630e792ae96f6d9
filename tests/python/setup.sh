#!/bin/sh
# Makes target/venv with the official AWS IoT client for Python, the judge of the stand-in nucleus.
# Does nothing when what requirements.txt pins is there already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$here/../../target/venv}
done_mark=$venv/requirements.installed
if [ -x "$venv/bin/python" ] && cmp -s "$here/requirements.txt" "$done_mark"; then
    exit 0
fi
mkdir -p "$venv"
# Tests of several processes start together: one installs, the others wait and find it done.
exec 9>"$venv.lock"
flock 9
if cmp -s "$here/requirements.txt" "$done_mark"; then
    exit 0
fi
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$done_mark"
