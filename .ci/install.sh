#!/usr/bin/env bash
# Makes .venv, and installs into it what requirements.lock pins; unfinished, the next call goes on.
#
#     .ci/install.sh [PYTHON]
#
# PYTHON is the interpreter that .venv is made of. Without it .venv keeps the one that it has, and a
# new one is made of python3. Exit codes: 0 done, 1 failed, 130 interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH PYTHONSAFEPATH  # of another Python's packages
trap 'printf "interrupted; the same command goes on\n" >&2; exit 130' INT TERM

INSTALLED=.venv/.installed
HOW="choose another with: make search PYTHON=python3.12 (a name or a path; Debian has \
python3.12-venv, others get one with: uv python install 3.12)"

fail() {
  echo "error: $*" >&2
  exit 1
}

version_of() {  # "3.12"; nothing if the interpreter cannot be run
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

progress() {  # of what pip prints, in a line for people; in a log, one now and then
  local line step="looking at packages" n=0 n_before n_there said=-30
  n_before=$(count_packages)
  while true; do
    if IFS= read -r -t 2 line; then
      case $line in
        "Collecting "*)
          n=$((n + 1)) line=${line#Collecting }
          step="getting package $n, ${line%%[=<> ]*}" ;;
        "Installing collected packages: "*)
          n=$(tr -dc , <<<"$line" | wc -c) n=$((n + 1)) step="" ;;
      esac
    elif (($? <= 128)); then
      break  # pip has ended; else there was nothing to read for a while
    fi
    if [[ -z $step ]]; then
      n_there=$(($(count_packages) - n_before))
      line="installing, $n_there of $n packages are there"
    else
      line=$step
    fi
    if [[ -t 2 ]]; then
      printf '\r\033[K%.79s' "  $line ($SECONDS s)" >&2
    elif ((SECONDS - said >= 10)); then
      said=$SECONDS
      printf '  %s (%s s)\n' "$line" "$SECONDS" >&2
    fi
  done
  if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
}

count_packages() {
  { compgen -G '.venv/lib/python*/site-packages/*.dist-info' || true; } | wc -l
}

has=$(version_of .venv/bin/python)
python=${1:-python3}
if [[ -z ${1:-} && -n $has ]]; then python=.venv/bin/python; fi
found=$(version_of "$python")
case $found in
  3.11 | 3.12 | 3.13) ;;
  "") fail "needs Python 3.11 to 3.13, and $python cannot be run; $HOW" ;;
  *) fail "needs Python 3.11 to 3.13, $python is $found; $HOW" ;;
esac
if [[ $has == "$found" && $INSTALLED -nt requirements.lock ]]; then exit 0; fi

if [[ $has != "$found" ]] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
  if [[ $python == .venv/* ]]; then python=$("$python" -c 'import sys; print(sys._base_executable)'); fi
  "$python" -m venv --clear .venv >&2 \
    || fail "$python has no venv, or cannot make one here; on Debian: apt-get install python$found-venv"
fi
# What an earlier call left unfinished, pip would take for installed.
find .venv/lib/python*/site-packages -maxdepth 1 -name '*.dist-info' | while IFS= read -r folder; do
  if [[ ! -f $folder/RECORD ]]; then rm -rf "$folder"; fi
done
echo "installing what requirements.lock pins into .venv (once; some minutes) ..." >&2
# A user's pip may be told to install elsewhere, or nothing, or to say nothing; not this time.
unset PIP_DRY_RUN PIP_PREFIX PIP_PYTHON PIP_QUIET PIP_ROOT PIP_TARGET PIP_USER PIP_VERBOSE
.venv/bin/python -m pip install --progress-bar off --disable-pip-version-check --no-input \
  --no-user --target= --require-hashes --requirement requirements.lock \
  | progress || fail "pip could not install it, and says above why; the same command tries again"
touch "$INSTALLED"
echo "installed $(count_packages) packages in $SECONDS s" >&2
