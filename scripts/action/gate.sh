#!/usr/bin/env bash
# Runs the gate with the action's inputs from the environment: annotations to the log, SARIF to a file, a table to the summary.
set -euo pipefail

sarif="${MOESIZE_SARIF_FILE:-moesize.sarif}"
table="$RUNNER_TEMP/moesize-summary.md"
words=(gate --output github=- --output "sarif=$sarif" --output "markdown=$table")
[[ -z "${MOESIZE_POLICY:-}" ]] || words+=("--policy=$MOESIZE_POLICY")
[[ -z "${MOESIZE_GPU:-}" ]] || words+=("--gpu=$MOESIZE_GPU")
[[ -z "${MOESIZE_FAIL_ON:-}" ]] || words+=("--fail-on=$MOESIZE_FAIL_ON")
[[ -z "${MOESIZE_DIFF:-}" ]] || words+=("--diff=$MOESIZE_DIFF")
[[ -z "${MOESIZE_BASELINE:-}" ]] || words+=("--baseline=$MOESIZE_BASELINE")
[[ "${MOESIZE_ALLOW_EMPTY:-false}" != true ]] || words+=(--allow-empty)

paths=()
while IFS= read -r path; do
  [[ -z "$path" ]] || paths+=("$path")
done <<< "${MOESIZE_PATHS:-.}"

rm -f -- "$sarif" "$table"
status=0
"$RUNNER_TEMP/moesize/bin/moesize" "${words[@]}" -- "${paths[@]}" || status=$?

echo "exit-status=$status" >> "$GITHUB_OUTPUT"
if [[ -f "$sarif" ]]; then
  # a name with a line break in it would be another output
  echo "sarif-file=${sarif//[$'\n\r']/}" >> "$GITHUB_OUTPUT"
fi
if [[ "${MOESIZE_SUMMARY:-true}" == true && -f "$table" && -n "${GITHUB_STEP_SUMMARY:-}" ]]; then
  cat -- "$table" >> "$GITHUB_STEP_SUMMARY"
fi
exit "$status"
