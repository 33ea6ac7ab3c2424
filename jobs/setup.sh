# shellcheck shell=bash
# What jobs/quickstart.sh and tests/run.sh share; they source it. Sets `repo`, installs what jobs/packages.txt lists, builds.
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "$(id -u)" -eq 0 ]; then   # Open MPI refuses root unless told twice
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

stop() {
  printf '%s: error: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

say() { printf '%s: %s\n' "${0##*/}" "$1" >&2; }

# missing_packages build|tests: a line of the list is a package, or a package and the word `tests`, which alone needs it
missing_packages() {
  local package purpose
  while read -r package purpose; do
    [ -z "$purpose" ] || [ "$purpose" = "$1" ] || continue
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done <"$repo/jobs/packages.txt"
}

# install_missing_packages build|tests
install_missing_packages() {
  command -v dpkg-query >/dev/null || stop "this is no Debian or Ubuntu; install what jobs/packages.txt lists, then run cmake --preset default"
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$1")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    { command -v sudo && sudo -v; } >/dev/null || stop "neither root nor allowed to use sudo, which installing packages takes; ask for: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q >&2 || stop "apt-get update failed; check the network, or ask for: apt-get install ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2 ||
    stop "apt-get could not install ${missing[*]}; see its messages above, and check the network"
}

# configure PRESET FOLDER [CMAKE OPTION...]
configure() {
  local preset=$1 folder=$2
  shift 2
  if ! mkdir -p "$repo/$folder" 2>/dev/null || [ ! -w "$repo/$folder" ]; then
    stop "$repo/$folder cannot be written; clone the repository to a place of your own"
  fi
  (cd "$repo" && cmake --preset "$preset" "$@" >"$folder/configure.log" 2>&1) ||
    { cat "$repo/$folder/configure.log" >&2; stop "cmake --preset $preset failed"; }
}

# compile FOLDER [TARGET...]: everything without a target
compile() {
  local folder=$1
  shift
  cmake --build "$repo/$folder" --parallel "$(nproc)" ${1:+--target "$@"} >&2 || stop "the build in $repo/$folder failed"
}
