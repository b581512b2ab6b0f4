#!/usr/bin/env bash
# Installs what a fresh Debian lacks for building flowlake and for its tests, and says what it installs. Without root it
# prints the one line that root has to run, and stops.
#
# usage: setup.sh VENV
set -euo pipefail
venv=$1

if ! command -v cargo >/dev/null; then
  echo "setup: cargo is missing; install Rust with rustup, version 1.95 or later" >&2
  exit 1
fi

# A C compiler links Rust programs and builds zstd; libpcap captures; Python runs DuckDB and the OCSF schema, which check what we write.
missing=()
for package in gcc libc6-dev libpcap-dev python3 python3-venv ca-certificates; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
# An independent dissector, and what real firewalls in namespaces and a clock that runs fast need. Too much to put on a developer's machine unasked:
# there their tests skip, loudly.
if [[ ${CI:-} == true ]]; then
  for package in tshark tcpdump nftables iproute2 procps iptables ufw firewalld dbus faketime; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
fi
# A Python that is not Debian's own may serve as well.
if python3 -c 'import venv, ensurepip' 2>/dev/null; then
  kept=()
  for package in "${missing[@]}"; do
    [[ $package == python3* ]] || kept+=("$package")
  done
  missing=("${kept[@]}")
fi
if ((${#missing[@]})); then
  install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if ((EUID != 0)); then
    echo "setup: some Debian packages are missing. Run this once, then start again:" >&2
    echo "  sudo sh -c '$install'" >&2
    exit 1
  fi
  # firewalld would start with its installation where systemd runs, and cut the machine off. Masked, only our tests run it.
  for package in ufw firewalld; do
    if [[ " ${missing[*]} " == *" $package "* ]]; then
      mkdir -p /etc/systemd/system
      ln -sf /dev/null "/etc/systemd/system/$package.service"
    fi
  done
  echo "setup: installing ${missing[*]}" >&2
  DEBIAN_FRONTEND=noninteractive sh -c "$install" >/dev/null
fi

# Versions are pinned: what checks us should not change under us.
wanted="duckdb==1.5.5 flowlogs-reader==5.0.1 pyarrow==26.0.1 ocsf-json-schema==1.2.0 jsonschema==4.26.0 pytz==2026.1 sqlglot==30.30.0"
wanted+=" ministack==1.5.33 boto3==1.43.106 duckdb-extensions==1.5.5 duckdb-extension-httpfs==1.5.5 moto[server]==5.2.5"
if [[ $(cat "$venv/flowlake-wanted" 2>/dev/null) != "$wanted" ]]; then
  echo "setup: installing into $venv: $wanted" >&2
  python3 -m venv "$venv"
  # shellcheck disable=SC2086  # a list of words
  "$venv/bin/pip" install --quiet --disable-pip-version-check $wanted
  echo "$wanted" >"$venv/flowlake-wanted"
fi
