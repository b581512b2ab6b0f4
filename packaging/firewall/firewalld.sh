#!/usr/bin/env bash
# flowlake: log every drop of firewalld (its nftables backend, which is the default) to NFLOG group 5, without a rate limit.
#
# What it does: puts a log rule with the same matches before each rule of firewalld's table that drops or rejects: rich
# rules, icmp blocks, zones' and policies' targets, invalid packets, the IPv6 reverse path filter, RFC 3964. It touches no
# other rule, and changes nothing where all is logged already. LogDenied is not needed.
# Apply: install it as /usr/local/sbin/flowlake-firewalld; firewalld builds its table anew on each reload, so keep it up:
#   flowlake-firewalld watch    applies after each change by itself, within a second; as a service: systemctl enable --now
#                               flowlake-firewall-log@firewalld (flowlake-firewall-log@.service here)
#   flowlake-firewalld apply    once, now
#   flowlake-firewalld check    says what would change and which drops cannot be logged; exit code 0 if there are none
# Undo: stop the service, then flowlake-firewalld undo
# Not covered: rich rules with a priority other than 0 (firewalld counts rules there, a log rule would lead it astray): let
# them log themselves, `rule priority=-5 ... nflog group=5 prefix="flowlake-drop:rich" drop` (not shortened, and not for
# rules of priority 0: those would be logged twice). Direct rules and the iptables backend: see iptables.sh. Panic mode and
# the moments of a reload, which drop in a table of their own. Rules with a limit.
set -euo pipefail

# Reads `nft -a list table inet firewalld`; writes what `nft -f` has to do. Our log rules are those with the snap length.
# shellcheck disable=SC2016  # awk's own variables
program='
function plan(   i, line, matches, rest, list, made) {
  list = made = ""
  for (i = 1; i <= rules; i++) {
    line = text[i]
    if (mode != "undo" && match(line, /(^| )(drop|reject( with [a-z0-9-]+ [a-z0-9-]+)?)$/)) {
      matches = substr(line, 1, RSTART - 1)
      if (chain ~ /_(pre|post)$/) { if (text[i - 1] !~ /log prefix "flowlake-drop:/) odd("let the rich rule log itself") }
      else if (matches ~ /(^| )limit rate /) odd("its match counts")
      else {
        gsub(/ ?counter packets [0-9]+ bytes [0-9]+/, "", matches)
        rest = matches (matches == "" ? "" : " ") "log prefix \"flowlake-drop:" label "\" group 5 snaplen 128"
        list = list rest "\n"
        made = made "insert rule inet firewalld " chain " handle " handle[i] " " rest "\n"
      }
    }
    list = list line "\n"
  }
  if (list != actual) printf "%s%s", own, made
}
function odd(why) { print "not logged, " why ": " chain ": " line >"/dev/stderr" }
$1 == "chain" { chain = label = $2; actual = own = ""; rules = 0; next }
$1 == "type" && $3 == "hook" { label = $4; next }
$1 == "}" { if (chain != "") plan(); chain = ""; next }
chain != "" && match($0, / # handle [0-9]+$/) {
  number = substr($0, RSTART + 10)
  line = substr($0, 1, RSTART - 1)
  sub(/^[ \t]+/, "", line)
  actual = actual line "\n"
  if (line ~ /log prefix "flowlake-drop:[^"]*" group 5 snaplen 128$/)
    own = own "delete rule inet firewalld " chain " handle " number "\n"
  else { text[++rules] = line; handle[rules] = number }
}
'

plan() { # plan MODE: nothing to do while firewalld does not run
  if nft list tables inet | grep -x 'table inet firewalld' >/dev/null; then
    nft -a list table inet firewalld | awk -v mode="$1" "$program"
  fi
}

change() { # change MODE: all rules at once or none
  local changes
  changes=$(plan "$1") && { [[ -z $changes ]] || printf '%s\n' "$changes" | nft -f -; }
}

case ${1:-} in
  apply | undo) change "$1" ;;
  check)
    changes=$(plan apply 2>&1)
    [[ -z $changes ]] || { printf '%s\n' "$changes" && exit 1; }
    ;;
  watch)
    # Listen first, then apply; after a change wait until it is complete. Our own changes find nothing left to do.
    exec 3< <(exec nft monitor)
    trap 'kill "$monitor" 2>/dev/null' EXIT
    monitor=$!
    sleep 0.5
    change apply || true
    while read -r -u 3 _; do
      while read -r -t 0.2 -u 3 _; do :; done
      change apply || echo "flowlake-firewalld: the rules changed meanwhile; trying again at the next change" >&2
    done
    echo "flowlake-firewalld: nft monitor ended; start me again" >&2
    exit 1
    ;;
  *)
    echo "usage: flowlake-firewalld apply|check|watch|undo" >&2
    exit 64
    ;;
esac
