#!/usr/bin/env bash
# flowlake: log every drop of the iptables and ip6tables rules of this host, whoever made them, to NFLOG group 5,
# without a rate limit.
#
# What it does: puts a log rule with the same matches before each rule that ends in DROP or REJECT, and one at the end
# of each built-in chain whose policy is DROP (there also before each RETURN). It touches no other rule, and changes nothing where all is logged already.
# Apply: install it as /usr/local/sbin/flowlake-iptables, then once, at any time again, or for good:
#   flowlake-iptables apply    after a change of the rules, else new drops are not logged and removed ones still are
#   flowlake-iptables watch    applies after each change by itself, within a second; as a service: systemctl enable --now
#                              flowlake-firewall-log@iptables (flowlake-firewall-log@.service here)
#   flowlake-iptables check    says what would change and which drops cannot be logged; exit code 0 if there are none
# Undo: stop the service, then flowlake-iptables undo
# Not covered: rules whose match counts or draws (limit, hashlimit, recent, statistic, quota, rateest): asking twice would
# change what they drop. Each is named on standard error; let it jump to a chain of yours that only says DROP. Other
# targets that end a packet (TARPIT, NFQUEUE). A goto (-g) in a chain whose policy is DROP: what falls through to the policy that way; named, too. iptables-legacy has no events: `apply` works there, `watch` does not.
# Rule numbers shift by the log rules: use `iptables -D` with the rule, not with its number.
set -euo pipefail

# --- edit here: chains to leave alone, a regular expression; empty for none
skip=''
# ---

# Reads iptables-save; writes what iptables-restore --noflush has to do: delete our rules of the chains that are not as
# they should be, then put them in by position. A chain that is as it should be is not named.
# shellcheck disable=SC2016  # awk's own variables
program='
function keep(line) { list = list line "\n"; at++ }
function log_before(matches,   rest) {
  rest = " -j NFLOG --nflog-prefix \"flowlake-drop:" label "\" --nflog-group 5 --nflog-size 128"
  keep(matches rest)
  made = made "-I " chain " " at substr(matches, length("-A " chain) + 1) rest "\n"
}
function plan(name,   i, line, bare, log_it, drops) {
  chain = name; list = made = ""; at = 0
  label = (policy[name] == "-") ? name : tolower(name)
  log_it = mode != "undo" && (skip == "" || name !~ skip)
  for (i = 1; i <= count[name]; i++) {
    line = rules[name, i]
    # In a chain whose policy is DROP, RETURN drops, too.
    drops = match(line, / -j (DROP|REJECT( --reject-with [a-z0-9-]+)?)$/)
    if (!drops && policy[name] == "DROP") drops = match(line, / -j RETURN$/)
    if (log_it && policy[name] == "DROP" && line ~ / -g [^ ]+$/)
      print tool ": not logged: what the chain of -g does not end falls to the policy; write -j: " line >"/dev/stderr"
    if (log_it && drops) {
      # What stands in quotes is no match.
      bare = line; gsub(/"([^"\\]|\\.)*"/, "", bare)
      if (bare ~ / -m (limit|hashlimit|recent|statistic|quota|rateest) /)
        print tool ": not logged, because its match counts; let it jump to a chain that only drops: " line >"/dev/stderr"
      else log_before(substr(line, 1, RSTART - 1))
    }
    keep(line)
  }
  if (log_it && policy[name] == "DROP") log_before("-A " name)
  if (list != actual[name]) changes = changes own[name] made
}
/^\*/ { table = $0 "\n" }
/^:/ { name = substr($1, 2); names[++chains] = name; policy[name] = $2 }
/^-A / {
  actual[$2] = actual[$2] $0 "\n"
  if ($0 ~ / -j NFLOG --nflog-prefix "?flowlake-drop:/) own[$2] = own[$2] "-D " substr($0, 4) "\n"
  else rules[$2, ++count[$2]] = $0
}
/^COMMIT/ {
  for (i = 1; i <= chains; i++) plan(names[i])
  if (changes != "") printf "%s%sCOMMIT\n", table, changes
  changes = ""; chains = 0; split("", actual); split("", own); split("", rules); split("", count)
}
'

plan() { # plan MODE TOOL
  "$2-save" | awk -v mode="$1" -v tool="$2" -v skip="$skip" "$program"
}

each() { # each MODE: of each tool all rules change at once, or none do
  local tool changes status=0
  for tool in iptables ip6tables; do
    command -v "$tool-save" >/dev/null || continue
    if [[ $1 == check ]]; then
      changes=$(plan apply "$tool" 2>&1) || status=1
      [[ -z $changes ]] || { printf '%s: %s\n' "$tool" "$changes" && status=1; }
    else
      changes=$(plan "$1" "$tool") || status=1
      [[ -z $changes ]] || printf '%s\n' "$changes" | "$tool-restore" --noflush || status=1
    fi
  done
  return "$status"
}

case ${1:-} in
  apply | check | undo) each "$1" ;;
  watch)
    # Listen first, then apply; after a change wait until it is complete. Our own changes find nothing left to do.
    exec 3< <(exec nft monitor)
    trap 'kill "$monitor" 2>/dev/null' EXIT
    monitor=$!
    sleep 0.5
    each apply || true
    while read -r -u 3 _; do
      while read -r -t 0.2 -u 3 _; do :; done
      each apply || echo "flowlake-iptables: the rules changed meanwhile; trying again at the next change" >&2
    done
    echo "flowlake-iptables: nft monitor ended; start me again" >&2
    exit 1
    ;;
  *)
    echo "usage: flowlake-iptables apply|check|watch|undo" >&2
    exit 64
    ;;
esac
