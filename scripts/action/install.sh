#!/usr/bin/env bash
# Installs moesize into an environment of its own: the job's Python stays as it is.
set -euo pipefail

python="$(command -v python3 || command -v python)"
"$python" -m venv "$RUNNER_TEMP/moesize"
if [[ -n "${MOESIZE_VERSION:-}" ]]; then
  if [[ ! "$MOESIZE_VERSION" =~ ^[0-9][0-9A-Za-z.+-]*$ ]]; then
    echo "moesize: the input version is no version number" >&2
    exit 2
  fi
  what="moesize==$MOESIZE_VERSION"
else
  what="$GITHUB_ACTION_PATH"
fi
"$RUNNER_TEMP/moesize/bin/python" -m pip install --quiet --disable-pip-version-check "$what"
